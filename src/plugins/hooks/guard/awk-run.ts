/** Carries out, in thought, what a simple command does: its redirections, the programs that run other programs, shells. */
export const execution = String.raw`
function simple(given,   args, first, start, r, name, sets, values, to, stdin, out, firsts, old, i, n, list, kept) {
  args = ""; sets = ""; first = 1; firsts = ""
  stdin = given
  to = ""
  while (1) {
    blanks()
    if (isRedirection()) { TO = ""; stdin = redirected(stdin); if (TO != "") to = TO; continue }
    start = P
    r = raw(first)
    if (r == "") break
    if (first && match(r, /^[A-Za-z_][A-Za-z0-9_]*(\[[^]]*\])?[+]?=/)) {
      name = substr(r, 1, RLENGTH - 1)
      n = RLENGTH
      if (n == length(r) && at(1) == "(") { values = array(); sets = sets name SEP values SEP; continue }
      if (DRY) continue
      values = name == "INSTAR_TOKEN" ? quietly("x=" substr(r, n + 1)) : expand("x=" substr(r, n + 1))
      values = substr(values, 3)
      gsub(ALT "x=", ALT, values)
      if (substr(r, n + 1, 1) == "~") values = expand(substr(r, n + 1))
      gsub(FIELD, " ", values)
      sets = sets name SEP values SEP
      continue
    }
    if (first && !DRY && r in ALIAS && ++ALIASES < 50) {
      S = substr(S, 1, start - 1) ALIAS[r] " " substr(S, P)
      P = start
      continue
    }
    if (!DRY) {
      if (first) firsts = each(r)
      else if (r ~ /^[A-Za-z_][A-Za-z0-9_]*=$/ && at(1) == "(") assign(substr(r, 1, length(r) - 1), array())
      else if (r ~ /^INSTAR_TOKEN=/ && firsts ~ /^(export|declare|local|readonly|typeset)/) args = args "INSTAR_TOKEN=" substr(quietly(r), 14) SEP
      else args = args each(r)
      if (firsts != "" || !first) first = 0
    }
    else { first = 0; if (r ~ /^[A-Za-z_][A-Za-z0-9_]*=$/ && at(1) == "(") array() }
  }
  if (P == start && P <= length(S) && index("<>()", at(1)) && at(1) != ")") P++
  if (DRY) return ""
  kept = ""
  for (list = sets; list != ""; ) {
    name = substr(list, 1, index(list, SEP) - 1)
    list = substr(list, length(name) + 2)
    values = substr(list, 1, index(list, SEP) - 1)
    list = substr(list, length(values) + 2)
    if (firsts != "" && name == "IFS") { kept = "IFS" in VALUE ? "x" VALUE["IFS"] : "-"}
    if (sub(/[+]$/, "", name)) values = cross(lookup(name), values)
    sub(/\[.*$/, "", name)
    assign(name, values)
  }
  if (firsts == "") { if (to != "") written(to, stdin); return "" }
  out = ""
  # A name that may be one of several.
  n = index(firsts, SEP)
  if (n < length(firsts) && ALTERNATIVES(firsts)) {
    while ((n = index(firsts, SEP)) > 0) {
      out = out execute(substr(firsts, 1, n) args, stdin)
      firsts = substr(firsts, n + 1)
    }
  } else out = execute(firsts args, stdin)
  if (kept == "-") delete VALUE["IFS"]
  else if (kept != "") VALUE["IFS"] = substr(kept, 2)
  return written(to, out)
}

# The words between brackets behind a name, each of which its value may be.
function array(   values) {
  P++
  for (values = wordsHere(); at(1) == "\n"; values = values wordsHere()) P++
  P++
  if (DRY) return ""
  gsub("(^|" SEP ")\\[[^]" SEP "]*\\]=", SEP, values)
  sub("^" SEP, "", values)
  return join(values, ALT)
}

# What is kept in INSTAR_TOKEN may be read from where it is: nobody sees it.
function quietly(r,   v) {
  TOKEN_OK++
  v = expand(r)
  TOKEN_OK--
  return v
}

function ALTERNATIVES(list,   n) {
  n = index(list, SEP)
  return substr(list, n + 1) !~ /^-/ && substr(list, n + 1) !~ /^\// && substr(list, 1, n - 1) !~ /^(sudo|env|rm|git)$/
}

function isRedirection() {
  return match(substr(S, P, 24), /^([0-9]+|[{][A-Za-z_]+[}])?[<>]/) ? substr(S, P + RLENGTH, 1) != "(" || RLENGTH > 1 : at(2) == "&>"
}

function redirections(stdin,   to) {
  to = ""
  for (blanks(); isRedirection(); blanks()) {
    TO = ""
    stdin = redirected(stdin)
    if (TO != "") to = TO
  }
  TO = to
  return stdin
}

function redirected(stdin,   fd, op, r, target, p, strip) {
  match(substr(S, P, 24), /^([0-9]+|[{][A-Za-z_]+[}])?/)
  fd = substr(S, P, RLENGTH)
  P += RLENGTH
  match(substr(S, P, 4), /^(<<<|<<-|<<|<&|<>|<|&>>|&>|>>|>[|]|>&|>)/)
  op = substr(S, P, RLENGTH)
  P += RLENGTH
  blanks()
  r = raw()
  if (op == "<<" || op == "<<-") {
    p = HERE ? HERE : skip(S, P, "\n") + 1
    HERE = skipHere(S, p, (op == "<<-" ? "-" : "") r "\n")
    target = HERE_TEXT
    if (DRY) return stdin
    return onInput(fd, r ~ /["'\\]/ ? target : expanded(target, 1), stdin)
  }
  if (DRY) return stdin
  target = expand(r)
  if (op == "<<<") return onInput(fd, target, stdin)
  gsub("[" ALT FIELD "]+", SEP, target)
  if ((op == "<&" || op == ">&" && fd == "0") && ("/dev/fd/" target) in FILE) return onInput(fd, FILE["/dev/fd/" target], stdin)
  if (op ~ /&$/ && target ~ /^([0-9]+-?|-)$/) return stdin
  judgeWords((op ~ /^</ ? "<" : ">") SEP target SEP, "")
  if (op ~ /^(&>|>&?)$/ && target ~ /^\/dev\/(tcp|udp)\//) FILE["/dev/fd/1"] = F
  if (op ~ /^</) return op ~ /^<>?$/ ? onInput(fd, content(target), stdin) : stdin
  if (fd == "" || fd == "1" || op ~ /^&/) TO = target
  return stdin
}

# What stands on standard input when a descriptor is given a text.
function onInput(fd, text, stdin) {
  if (fd == "" || fd == "0") return text
  FILE["/dev/fd/" fd] = text
  return stdin
}

# What goes into a file is not written any more.
function written(to, out) {
  if (to == "") return out
  if (to in READER) return run(READER[to], out)
  if (to !~ /^\/dev\//) FILE[absolute(to)] = out == "" ? U : out
  return ""
}

function content(path,   p) {
  p = absolute(path)
  if (p in FILE) return FILE[p]
  if (path in FILE) return FILE[path]
  if (p ~ /^\/dev\/(tcp|udp)\//) return F
  if (p == "/dev/stdin" || p == "/dev/fd/0" || p == "/proc/self/fd/0") return STDIN
  return U
}

# The list without its first k words.
function drop(list, k,   n) {
  for (; k > 0 && (n = index(list, SEP)) > 0; k--) list = substr(list, n + 1)
  return list
}

# The place of the first word from i that is no option; letters are of those that take the next word.
function operand(a, n, i, letters,   w, short) {
  short = letters
  sub(/ .*/, "", short)
  for (; i <= n; i++) {
    w = a[i]
    if (w == "--") return i + 1
    if (w !~ /^-./) return i
    if (w ~ /^--/) { if (w !~ /=/ && index(" " letters " ", " " w " ")) i++ }
    else if (index(short, substr(w, length(w), 1)) && !onlyLast(w, short)) i++
  }
  return i
}

# Whether an earlier letter takes the rest of the word.
function onlyLast(w, letters,   i) {
  for (i = 2; i < length(w); i++) if (index(letters, substr(w, i, 1))) return 1
  return 0
}

function execute(args, stdin,   a, n, prog, i, out, saved, w, old) {
  # At a single character that is no pattern the awk of the BSDs would split at newlines, too.
  n = split(args, a, "[" SEP "]") - 1
  if (n < 1) return ""
  if (ENOUGH) return U
  if (++STEPS > 1500 || (WORDS += n) > 6000) { lost("it does too much"); return U }
  prog = a[1]
  if (prog in BODY && !(prog in CALLED)) {
    saved = VALUE["@"]
    CALLED[prog] = 1
    arguments(drop(args, 1))
    out = run(BODY[prog], stdin)
    delete CALLED[prog]
    arguments(saved)
    return out
  }
  if (index(prog, F)) { judge("sh @fetched"); return U }
  if (prog == H) { judge("sh @hidden"); return U }
  if (prog ~ /\// && absolute(prog) in PROGRAM) { args = PROGRAM[absolute(prog)] SEP drop(args, 1); a[1] = prog = PROGRAM[absolute(prog)] }
  sub(/^.*[\/\\]/, "", prog)
  if (index(prog, U) || index(prog, H)) unsure("the name of the command is not known")
  sub(/\.exe$/, "", prog)
  if (prog ~ /[*?[]/) prog = meant(prog)
  if (prog ~ /^ld-(linux|musl)[a-z0-9_.-]*$/) prog = "ld-linux"
  if ((w = onPath(a[1])) != "") return scripted(FILE[w])
  if (prog in PREFIX) return prefixed(prog, a, n, args, stdin)
  saved = STDIN
  STDIN = stdin
  out = program(prog, a, n, args, stdin)
  STDIN = saved
  return out
}

function arguments(list,   i, k) {
  for (i = 1; i <= 9; i++) delete VALUE[i ""]
  VALUE["@"] = list == "" ? "" : join(list, FIELD)
  VALUE["*"] = VALUE["@"]
  for (k = 1; list != "" && k <= 9; k++) {
    i = index(list, SEP)
    VALUE[k ""] = substr(list, 1, i - 1)
    list = substr(list, i + 1)
  }
  for (; k <= 9; k++) VALUE[k ""] = ""
}

# A program whose name is a pattern is one that a rule is about.
function meant(g,   re, name) {
  re = "^" glob(g) "$"
  if ("rm" ~ re) return "rm"
  for (name in RULES) if (name ~ re) return name
  for (name in SHELL) if (name ~ re) return name
  return g
}

# A program that runs the one behind its own options.
function prefixed(prog, a, n, args, stdin,   i, k, w) {
  i = operand(a, n, 2, PREFIX[prog])
  if (prog == "command" && n > 1 && a[2] ~ /^-p?[vV]/) return a[n] "\n"
  if (prog == "sudo" && a[2] ~ /^-[A-Za-z]*e/) { judgeWords(args, ""); return "" }
  if (prog == "env") {
    for (k = 2; k < i; k++) {
      if (a[k] ~ /^-[a-zA-Z]*S$/) return run(join(drop(args, k), " "), stdin)
      if (a[k] ~ /^-[a-zA-Z]*S./) { sub(/^-[a-zA-Z]*S/, "", a[k]); return run(a[k] " " join(drop(args, k), " "), stdin) }
      if (a[k] ~ /^--split-string=/) return run(substr(a[k], 16) " " join(drop(args, k), " "), stdin)
      if (a[k] == "-C" || a[k] == "--chdir") changeTo(a[k + 1])
    }
  }
  if (prog == "env" || prog == "sudo" || prog == "doas") {
    for (; i <= n && a[i] ~ /^[A-Za-z_][A-Za-z0-9_]*=/; i++) assign(substr(a[i], 1, index(a[i], "=") - 1), substr(a[i], index(a[i], "=") + 1))
    if (prog == "env" && i > n) return environment(args)
    for (k = 2; k < i; k++) if (prog == "sudo" && a[k] ~ /^-[nHESPAkb]*[si]$/ && i > n) return scripted(stdin)
  }
  if (prog ~ /^(timeout|chrt|taskset|chroot|gosu|su-exec|flock|setarch)$/) i++
  # The value of a long option.
  while (i < n && a[i] ~ /^[0-9]+$/) i++
  if (prog == "flock") for (k = 2; k < n; k++) if (a[k] == "-c" || a[k] == "--command") return run(a[k + 1], stdin)
  if (prog == "watch") return run(join(drop(args, i - 1), " "), stdin)
  if (prog == "exec" && i > n) return ""
  return i > n ? "" : execute(drop(args, i - 1), stdin)
}

function environment(args) {
  judgeWords(args, "")
  return E
}
`
