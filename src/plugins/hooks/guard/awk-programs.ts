/** What the programs do that matter: builtins of the shell, those that write something known, and those that run others. */
export const programs = String.raw`
function program(prog, a, n, args, stdin,   i, out, w, k, list) {
  if (prog in SHELL) { judgeWords(args, ""); return shell(a, n, args, stdin) }
  if (prog == "eval") return scripted(join(drop(args, 1), " "))
  if (prog == "source" || prog == ".") { judgeWords(args, ""); return n > 1 ? scriptFile(a[2]) : "" }
  if (prog == "trap") return n > 2 ? scripted(a[2]) : ""
  if (prog == "alias") {
    for (i = 2; i <= n; i++) if ((k = index(a[i], "=")) > 1) ALIAS[substr(a[i], 1, k - 1)] = substr(a[i], k + 1)
    return ""
  }
  if (prog == "unalias" || prog == "unset") { for (i = 2; i <= n; i++) { if (prog == "unset") { if (a[i] != "HOME") VALUE[a[i]] = "" } else delete ALIAS[a[i]] } return "" }
  if (prog ~ /^(export|declare|typeset|local|readonly)$/) {
    if (n == 1 || (n == 2 && a[2] ~ /^-[px]+$/)) return environment(args)
    for (i = 2; i <= n; i++) if ((k = index(a[i], "=")) > 1 && a[i] !~ /^-/) assign(substr(a[i], 1, k - 1), substr(a[i], k + 1))
    if (a[2] ~ /^-[a-z]*p/) for (i = 3; i <= n; i++) if (a[i] == "INSTAR_TOKEN") judge("printenv INSTAR_TOKEN @token")
    return ""
  }
  if (prog == "set" || prog == "printenv") {
    if (n == 1) return environment(args)
    if (prog == "set") { if (a[2] ~ /^[-+][a-z]*x/) TRACED = a[2] ~ /^-/; if (a[2] == "--") arguments(drop(args, 2)); return "" }
    for (i = 2; i <= n; i++) if (a[i] == "INSTAR_TOKEN") judge("printenv INSTAR_TOKEN @token")
    return prog == "printenv" && n == 2 ? lookup(a[2]) : U
  }
  if (prog == "cd" || prog == "pushd" || prog == "chdir") {
    i = operand(a, n, 2, "")
    if (i > n) { if (prog != "pushd") CWD = HOME } else changeTo(a[i])
    return ""
  }
  if (prog == "popd") { CWD = U; return "" }
  if (prog == "read") {
    i = operand(a, n, 2, "adinNptu")
    out = stdin
    sub(/[\n]+$/, "", out)
    gsub(/[\n]+/, ALT, out)
    if (out == "") out = U
    if (i > n) assign("REPLY", out)
    for (k = i; k <= n; k++) assign(a[k], i == n ? out : column(out, k - i + 1, k == n))
    return ""
  }
  if (prog == "shift") {
    list = VALUE["@"]
    SHIFTED++
    for (k = n > 1 ? a[2] : 1; k > 0; k--) list = (i = index(list, FIELD)) ? substr(list, i + 1) : ""
    # In a loop it may be any of them.
    if (!MAYBE) { gsub(FIELD, SEP, list); arguments(list == "" ? "" : list SEP) }
    else if (list != "") { gsub(FIELD, ALT, list); for (k = 1; k <= 9; k++) assign(k "", list) }
    return ""
  }
  if (prog == "mapfile" || prog == "readarray") { out = stdin; gsub(/[\n]+/, ALT, out); assign(a[n], out); return "" }
  if (prog == "echo") {
    judgeWords(args, "")
    for (i = 2; i <= n && a[i] ~ /^-[neE]+$/; i++) ;
    out = join(drop(args, i - 1), " ")
    return (i > 2 && args ~ (SEP "-[nE]*e") ? unescaped(out) : out) "\n"
  }
  if (prog == "printf") { judgeWords(args, ""); return n > 1 ? formatted(a, n) : "" }
  if (prog == "xargs" || prog == "parallel") return fed(prog, a, n, args, stdin)
  if (prog == "find") return found(a, n, args)
  if (prog == "git" || prog == "hub") return git(a, n, args, stdin)
  if (prog in CLIENT) return client(prog, a, n, args, stdin)
  if (prog in INTERPRETER || prog ~ /^(python|ruby|perl|php|node|lua)[0-9.]+$/) return interpreted(prog, a, n, args, stdin)
  if (prog in WRITES_SETTINGS && args !~ (SEP "(exec|run|x|--)" SEP)) { judgeWords(args, ""); return "" }
  if (prog in CARRIER) return carried(prog, a, n, args, stdin)
  if (prog in FETCHER) return fetched(prog, a, n, args, stdin)
  if (prog in FILTER) return filtered(prog, a, n, args, stdin)
  if (prog == "pwd") return CWD "\n"
  if (prog == "seq") return P_ALL
  if (prog == "at" || prog == "batch") return stdin == "" ? "" : scripted(stdin)
  if (prog == "crontab") {
    if (index(stdin, F)) judge("sh @fetched")
    w = stdin
    gsub(/(^|\n)[ \t]*(@[a-z]+|[^ \t\n#]+([ \t]+[0-9*,\/-]+)+)[ \t]/, "\n", w)
    if (w != stdin) run(w, "")
  }
  if (prog ~ /^(rimraf|trash|del-cli)$/) return execute("rm" SEP "-rf" SEP drop(args, 1), "")
  if (prog ~ /^(rails|manage[.]py|django-admin)$/) console(prog, a[2], join(drop(args, 2), " "), stdin)
  if (prog ~ /^(unzip|scp|rsync|sftp|7z|gsutil|aws|s3cmd|rclone)$/) BROUGHT = 1
  if (prog ~ /^(cp|mv|install|ln)$/ && n > 2) placed(a[n - 1], a[n])
  if (prog ~ /^g?make$/ && (stdin != "" || absolute("Makefile") in FILE)) { w = stdin == "" ? FILE[absolute("Makefile")] : stdin; if (index(w, F)) judge("sh @fetched"); gsub(/(^|\n)[^\t\n][^\n]*/, "\n", w); run(w, "") }
  if (prog == "whoami" || prog == "logname" || prog == "id" && n > 1) return (prog == "id" && args !~ (SEP "-[a-z]*n") ? "4242" : "user") "\n"
  if (prog == "mktemp") return "/tmp/tmp.0000000000\n"
  if (prog == "dirname" && n > 1) { w = a[2]; if (!sub(/\/[^\/]+\/*$/, "", w)) w = "."; return (w == "" ? "/" : w) "\n" }
  if (prog == "basename" && n > 1) { w = a[2]; sub(/^.*\//, "", w); return w "\n" }
  if (prog == "realpath" || prog == "readlink") { judgeWords(args, ""); i = operand(a, n, 2, ""); return i > n ? U : absolute(a[i]) "\n" }
  if (prog == "yes") return (n > 1 ? a[2] : "y") "\n"
  if (prog == "true" || prog == ":" || prog == "false" || prog == "sleep" || prog == "wait") return ""
  if (prog == "ls") { judgeWords(args, ""); i = operand(a, n, 2, ""); return i <= n && a[i] ~ /^\/proc\/?$/ ? P_ALL : i > n || a[i] == "." ? "*\n" : a[i] ~ /[*?]/ ? a[i] "\n" : U "\n" }
  if (prog == "ps") { judgeWords(args, ""); return args ~ (SEP "(-[a-zA-Z]*[pCtqg]|--ppid.*|--pid.*|[0-9]+)" SEP) ? U : P_ALL }
  if (prog == "which" || prog == "type") return n > 1 ? a[n] "\n" : ""
  if (prog ~ /^(pgrep|pidof)$/) { judgeWords(args, ""); return operand(a, n, 2, "uUgGPst") > n && args ~ (SEP "-[a-zA-Z]*[uU]") || a[n] ~ /^([.][*]?)?$/ ? P_ALL : a[n] ~ /^(systemd|init|launchd)$/ ? "1\n" : U }
  if (prog == "tmux") { for (i = 2; i <= n; i++) if (a[i] ~ /[ ;]/ || a[i - 1] ~ /^(send-keys|send|-t)$/) run(a[i], "") }
  if (prog == "make") { for (i = 2; i <= n; i++) if (a[i] ~ /^SHELL=/) return U }
  if (prog in BODY) return U
  judgeWords(args, "")
  if (index(stdin, F)) return F
  w = a[1]
  # A script of the project's own, or one that this command wrote.
  if (w ~ /\//) { k = absolute(w); if (k in FILE) return scripted(FILE[k]); if (BROUGHT && !exists(k)) unsure(NEW); if (w ~ /^[.\/]/ && !(k in READING) && isIn(k, PROJECT)) return ownScript(k) }
  return U
}

# A copy or a link holds what the file does, and is the program that it is. It may be put into a directory.
function placed(from, to,   k, name) {
  k = absolute(from)
  name = from
  sub(/^.*\//, "", name)
  if (k in FILE) FILE[absolute(to)] = FILE[absolute(to "/" name)] = FILE[k]
  if (from ~ /^(\/.*bin\/)?[^\/]+$/ && (name in RULES || name in SHELL || name in PREFIX)) PROGRAM[absolute(to)] = name
}

# The file that a name is found as.
function onPath(name,   n, D, i) {
  for (i in FILE) break
  if (i == "" || name ~ /\//) return ""
  n = split(lookup("PATH") ":" HOME "/bin:" HOME "/.local/bin:/usr/local/bin:/usr/bin", D, ":")
  for (i = 1; i <= n; i++) if (absolute(D[i] "/" name) in FILE) return absolute(D[i] "/" name)
  return ""
}

# Of each line the k-th word, with those behind it when it is the last one that is asked for.
function column(lines, k, isLast,   m, L, i, n, A, j, out) {
  m = split(lines, L, "[" ALT "]")
  for (i = 1; i <= m; i++) {
    if (L[i] ~ /[\001-\007]/) continue
    sub(/^[ \t]+/, "", L[i])
    n = split(splitting(L[i], 0), A, "[" FIELD "]")
    L[i] = k <= n ? A[k] : ""
    for (j = k + 1; isLast && j <= n; j++) L[i] = L[i] " " A[j]
  }
  out = L[1]
  for (i = 2; i <= m; i++) out = out ALT L[i]
  return out
}

function ownScript(p,   line, ok) {
  ok = 0
  if (!isFile(p)) return U
  if ((getline line < p) > 0) ok = line ~ /^#!.*sh( |$)/
  close(p)
  return ok ? scriptFile(p) : U
}

function formatted(a, n,   out, format, i, k, once, piece, c) {
  i = 2
  if (a[2] == "--") i = 3
  if (a[2] == "-v") { i = 4 }
  format = a[i++]
  out = ""
  do {
    once = i
    for (piece = format; (k = match(piece, /%[-+ #0-9.]*[a-zA-Z%(]/)) > 0; ) {
      out = out unescaped(substr(piece, 1, k - 1))
      c = substr(piece, k + RLENGTH - 1, 1)
      piece = substr(piece, k + RLENGTH)
      if (c == "%") out = out "%"
      else { out = out (c == "b" ? unescaped(i <= n ? a[i] : "") : i <= n ? a[i] : ""); i++ }
    }
    out = out unescaped(piece)
  } while (i <= n && i > once)
  if (a[2] == "-v") { assign(a[3], out); return "" }
  return out
}

# Programs that put out what they get, perhaps changed.
function filtered(prog, a, n, args, stdin,   i, out, w, k) {
  judgeWords(args, index(stdin, E) && args ~ /INSTAR|TOKEN|token|instar/ && args !~ (SEP "-[a-zA-Z]*v") ? " @token" : "")
  if (prog == "tee") {
    for (i = operand(a, n, 2, ""); i <= n; i++) { judgeWords(">" SEP a[i] SEP, ""); if (a[i] in READER) run(READER[a[i]], stdin); else if (a[i] in FILE || a[i] !~ /^\/dev/) FILE[absolute(a[i])] = stdin == "" ? U : stdin }
    return stdin
  }
  if (prog == "cat") {
    i = operand(a, n, 2, "")
    if (i > n) return stdin
    for (out = ""; i <= n; i++) out = out (a[i] == "-" ? stdin : content(a[i]))
    return out
  }
  if (index(stdin, F)) return F
  if (index(stdin, P_ALL)) return (prog ~ /^(e?f?grep|rg)$/ && args !~ (SEP "(-[a-z]*v|[]0-9^$[+*-]+" SEP ")")) || (prog ~ /^(head|tail)$/ && args !~ (SEP "[+]2" SEP)) || (prog ~ /awk$/ && args ~ /[\/~]|==/) ? U : P_ALL
  if (index(stdin, E)) return prog ~ /^(e?f?grep|rg)$/ ? U : E
  if (prog == "base64" || prog == "base32" || prog == "xxd" || prog == "openssl" || prog == "uudecode") {
    if (prog == "base64" && args ~ (SEP "(-d|-D|--decode|-[a-z]*d[a-z]*)" SEP) && stdin ~ /[^ \n]/ && !index(stdin, U)) return decoded(stdin)
    return args ~ (SEP "(-[a-z]*[dDrA]|--d|--dec[a-z]*|-ps)" ) || prog == "uudecode" ? H : U
  }
  if (prog ~ /^(gunzip|zcat|bzcat|xzcat|zstdcat|rev|tr|gzip|xz|bzip2|zstd|rot13|caesar)$/ && stdin != "") {
    if (prog == "rev" && !index(stdin, U)) { for (out = ""; stdin != ""; stdin = substr(stdin, 2)) out = substr(stdin, 1, 1) out; return out }
    return H
  }
  if (prog ~ /^(head|tail|sort|uniq|e?f?grep|rg|pv|sponge|nl|stdbuf|column|fold|cut|less|more)$/) return stdin == "" ? U : stdin
  if (prog ~ /^(sed|awk|gawk|mawk|jq)$/ && stdin != "" && !index(stdin, U)) return H
  return U
}

function decoded(s,   out, i, bits, value, c, n) {
  out = ""
  bits = 0
  value = 0
  gsub(/[^A-Za-z0-9+\/]/, "", s)
  for (i = 1; i <= length(s); i++) {
    value = value * 64 + index("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", substr(s, i, 1)) - 1
    bits += 6
    if (bits >= 8) {
      bits -= 8
      n = bits == 0 ? 1 : bits == 2 ? 4 : 16
      c = int(value / n)
      value -= c * n
      out = out (c >= 32 && c < 127 || c == 10 || c == 9 ? sprintf("%c", c) : "?")
    }
  }
  return out
}

# Programs that fetch: what they write is what they fetched.
function fetched(prog, a, n, args, stdin,   i, to, w, dir) {
  dir = ""
  judgeWords(args, prog ~ /^(gh|curl)$/ && ofProtected(args) ? " @protected" : "")
  if (prog ~ /^(nc|ncat|netcat|socat)$/ && toupper(stdin) ~ /^ *FLUSH(ALL|DB)/) judge("redis-cli FLUSHALL")
  to = ""
  for (i = 2; i <= n; i++) {
    w = a[i]
    if (prog == "curl" || prog == "fetch" || prog == "aria2c") {
      if (w == "-o" || w == "--output" || w == "--out" || w ~ /^-[a-zA-Z]*o$/) to = a[i + 1]
      else if (w ~ /^--output=/) to = substr(w, 10)
      else if (w ~ /^-[a-zA-Z]*O/ || w ~ /^--remote-name/) to = "*"
      else if (w == "--output-dir") dir = a[i + 1] "/"
    } else if (prog == "wget") {
      if (w ~ /^-[a-zA-Z]*O$/ || w == "--output-document") to = a[i + 1]
      else if (w ~ /^-[a-zA-Z]*O./ || w ~ /^--output-document=/) { to = w; sub(/^(-[a-zA-Z]*O|--output-document=)/, "", to) }
      else if (w ~ /^(-[a-zA-Z]*P|--directory-prefix)$/) dir = a[i + 1] "/"
      else if (w ~ /^(-P|--directory-prefix=)./) { dir = w "/"; sub(/^(-P|--directory-prefix=)/, "", dir) }
    }
  }
  if (prog == "wget" && to == "") to = "*"
  if (to == "-" || to == "/dev/stdout" || to == "") return F
  if (to == "*") { to = a[n]; for (i = 2; i <= n; i++) if (a[i] ~ /:\/\//) to = a[i]; sub(/[?#].*$/, "", to); sub(/^.*\//, "", to) }
  FILE[absolute(to ~ /^\// ? to : dir to)] = F
  return ""
}

function ofProtected(args) { return match(args, /git\/refs\/heads\/[^\036?]*/) && isProtected(substr(args, RSTART + 4, RLENGTH - 4)) }
`
