/** xargs, parallel and find: commands whose words are found elsewhere. */
export const feeding = String.raw`
# xargs and parallel: what stands on standard input is words of a command.
function fed(prog, a, n, args, stdin,   i, k, repl, list, items, item, count, out, one, rest) {
  repl = prog == "parallel" ? "{}" : ""
  for (i = 2; i <= n && a[i] ~ /^-./; i++) {
    if (a[i] == "--") { i++; break }
    if (a[i] == "-I" || a[i] == "-J") { repl = a[++i]; continue }
    if (a[i] ~ /^-I./) { repl = substr(a[i], 3); continue }
    if (a[i] ~ /^(-i|--replace)$/) { repl = "{}"; continue }
    if (a[i] == "--replace=") { repl = "{}"; continue }
    if (a[i] ~ /^(-i|--replace=)./) { repl = a[i]; sub(/^(-i|--replace=)/, "", repl); continue }
    if (a[i] == "-a" || a[i] == "--arg-file") { judgeWords("<" SEP a[++i] SEP, ""); stdin = content(a[i]); continue }
    if (a[i] ~ /^-[dEnLPsjS]$/ || a[i] ~ /^--(delimiter|max-args|max-procs|max-lines|max-chars|eof|jobs|results|joblog|delay|timeout|colsep|workdir|tmpdir|sshlogin|env)$/ || (prog == "parallel" && a[i] ~ /^-[SCN]$/)) i++
  }
  rest = drop(args, i - 1)
  if (prog == "parallel" && (k = index(SEP rest, SEP ":::" SEP)) > 0) {
    stdin = join(substr(rest, k + 4), "\n")
    rest = substr(rest, 1, k - 1)
  }
  if (i > n) rest = "echo" SEP
  if (index(stdin, P_ALL)) rest = rest P_ALL SEP
  if (repl != "") gsub(/\n+$/, "", stdin)
  gsub(repl != "" ? "[\n]+" : "[ \t\n]+", SEP, stdin)
  sub("^" SEP, "", stdin)
  if (stdin != "" && stdin !~ (SEP "$")) stdin = stdin SEP
  if (prog == "parallel" && rest == "") { for (out = ""; (k = index(stdin, SEP)) > 0; stdin = substr(stdin, k + 1)) out = out scripted(substr(stdin, 1, k - 1)); return out }
  if (prog == "parallel" && !index(rest, repl)) { repl = ""; if (rest ~ / /) { run(join(rest, " ") " " join(stdin, " "), ""); return U } }
  if (repl == "") return execute(rest stdin, "")
  out = ""
  for (count = 0; (k = index(stdin, SEP)) > 0 && count < 30; count++) {
    item = substr(stdin, 1, k - 1)
    stdin = substr(stdin, k + 1)
    one = replaced(rest, repl, item)
    out = out execute(one, "")
    # It puts the words together again for a shell.
    if (prog == "parallel") out = out run(join(one, " "), "")
  }
  return out
}

function replaced(s, what, by,   n, out) {
  for (out = ""; (n = index(s, what)) > 0; s = substr(s, n + length(what))) out = out substr(s, 1, n - 1) by
  return out s
}

# find: where it begins, and what it does with what it has chosen by then. Each side of an -o chooses for itself.
function found(a, n, args,   i, k, starts, chosen, depth, secret, out, cmd, list, start, item, w) {
  starts = ""
  for (i = 2; i <= n && a[i] ~ /^-[HLPO]/; i++) ;
  for (; i <= n && a[i] !~ /^[-(!]/; i++) starts = starts a[i] SEP
  if (starts == "") starts = "." SEP
  judgeWords(args, "")
  out = ""
  for (list = starts; list != ""; ) {
    start = substr(list, 1, index(list, SEP) - 1)
    list = substr(list, length(start) + 2)
    item = start
    depth = 0
    chosen = secret = ""
    for (k = i; k <= n; k++) {
      w = a[k]
      if (w == "(") depth++
      else if (w == ")") depth--
      else if (w ~ /^(-o|-or|,)$/ && !depth) chosen = secret = ""
      # What is left out is no choice.
      else if (w ~ /^(!|-not)$/) k += a[k + 1] ~ /^-(empty|readable|writable|executable)$/ ? 1 : 2
      else if (w ~ /^-(empty|newer.*|[amc]time|[amc]min|size|user|group|perm|xtype|links|inum)$/) chosen = "found"
      else if (w ~ /^-i?(name|path|wholename|regex)$/ && a[k + 1] !~ /^[*.\/]*$/) {
        chosen = a[k + 1] ~ /[*?[\/]/ ? "found" : a[k + 1]
        w = start (start ~ /[.]instar\/?$/ ? "" : "/.instar") "/config.json"
        if ((a[k + 1] ~ /instar/ || start ~ /[.]instar\/?$/) && w ~ ("^(.*/)?" glob(a[k + 1]) "(/.*)?$")) secret = w
      }
      item = secret != "" ? secret : chosen != "" && absolute(start) != "/" ? start "/" chosen : start
      if (w == "-delete") judgeWords("find" SEP item SEP, " @deletes")
      if (w !~ /^-(exec|execdir|ok|okdir)$/) continue
      cmd = ""
      for (k++; k <= n && a[k] != ";" && a[k] != "+"; k++) cmd = cmd replaced(a[k], "{}", item) SEP
      if (cmd ~ /^(.*\/)?(rm|unlink|shred)[\036]/) judgeWords("find" SEP item SEP, " @deletes")
      if (match(cmd, /^(.*\/)?ch(mod|own|grp)[\036]/)) cmd = substr(cmd, 1, RLENGTH) "-R" SEP substr(cmd, RLENGTH + 1)
      execute(cmd, "")
    }
    out = out (item == start ? start "/**" : item) "\n"
  }
  return out
}
`
