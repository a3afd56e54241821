/** The values of variables and parameters, and the patterns of the shell. */
export const parameters = String.raw`
function known(name) { return name in VALUE || name in ENVIRON || name ~ /^([?$!0-9-]|PWD|HOME|UID|EUID|PPID|RANDOM|SECONDS|LINENO|BASH|SHELL|IFS)$/ }

function lookup(name) {
  if (name == "INSTAR_TOKEN") return T
  if (name in VALUE) return VALUE[name]
  if (name == "HOME") return HOME
  if (name == "PWD") return CWD
  if (name in ENVIRON) return ENVIRON[name]
  if (name == "IFS") return " \t\n"
  if (name == "0") return "sh"
  if (name == "BASH" || name == "SHELL") return "/bin/sh"
  if (name == "USER" || name == "LOGNAME") return "user"
  if (name == "_" || name == "OLDPWD") return U
  if (name ~ /^[?#$!-]$/ || name ~ /^(UID|EUID|PPID|RANDOM|SECONDS|LINENO)$/) return "4242"
  if (name == "@" || name == "*") return ""
  UNSET = name
  return FOREIGN ? U : ""
}

function parameter(e, inQuotes,   name, op, v, w, n) {
  if (e ~ /^#[A-Za-z0-9_]/) return "4"
  if (substr(e, 1, 1) == "!") {
    match(e, /^![A-Za-z0-9_]+/)
    e = lookup(substr(e, 2, RLENGTH - 1)) substr(e, RLENGTH + 1)
  }
  if (!match(e, /^([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-])/)) return U
  name = substr(e, 1, RLENGTH)
  e = substr(e, RLENGTH + 1)
  sub(/^\[[^]]*\]/, "", e)
  if (e == "") return lookup(name)
  match(e, /^(:[-=?+]|[-=?+]|##?|%%?|\/[\/#%]?|:|\^\^?|,,?|@)/)
  op = RLENGTH > 0 ? substr(e, 1, RLENGTH) : ""
  w = substr(e, length(op) + 1)
  if (op ~ /^:?[-=]$/) {
    v = known(name) ? lookup(name) : ""
    if (v == U || v == "") v = (v == "" ? "" : v ALT) expanded(w, inQuotes)
    if (op ~ /=/) assign(name, v)
    return name == "INSTAR_TOKEN" ? T : v
  }
  if (op ~ /^:?[+]$/) return known(name) || name == "INSTAR_TOKEN" ? expanded(w, inQuotes) : ""
  v = lookup(name)
  if (op ~ /^:?[?]$/) return v == "" || v == U ? N : v
  if (op == ":") {
    if (!match(w, /^ *-?[0-9]+/)) return U
    n = substr(w, 1, RLENGTH) + 0
    w = substr(w, RLENGTH + 1)
    if (n < 0) n = length(v) + n
    return w ~ /^:[0-9]+$/ ? substr(v, n + 1, substr(w, 2)) : substr(v, n + 1)
  }
  if (op == "^^" || op == ",,") return op == "^^" ? toupper(v) : tolower(v)
  if (op ~ /^[#%]/) return trimmed(v, glob(expanded(w, 1)), op)
  if (op ~ /^\//) {
    n = match(w, /^\//) ? 1 : match(w, /[^\\]\//) ? RSTART + 1 : length(w) + 1
    e = expanded(substr(w, n + 1), 1)
    w = substr(w, 1, n - 1)
    gsub(/\\\//, "/", w)
    w = glob(expanded(w, 1))
    if (w == "") return v
    gsub(/[\\&]/, "\\\\&", e)
    if (op == "//") gsub(w, e, v)
    else sub(w, e, v)
    return v
  }
  return v
}

function trimmed(v, pattern, op,   i, from, to, step) {
  if (index(v, U)) return v
  from = op == "##" || op == "%" ? length(v) : 0
  step = from ? -1 : 1
  to = from ? -1 : length(v) + 1
  for (i = from; i != to; i += step) {
    if (substr(op, 1, 1) == "#" && substr(v, 1, i) ~ ("^" pattern "$")) return substr(v, i + 1)
    if (substr(op, 1, 1) == "%" && substr(v, i + 1) ~ ("^" pattern "$")) return substr(v, 1, i)
  }
  return v
}

# A pattern of the shell as a regular expression.
function glob(g,   out, i, c, n) {
  out = ""
  for (i = 1; i <= length(g); i++) {
    c = substr(g, i, 1)
    if (c == "*") out = out ".*"
    else if (c == "?") out = out "."
    else if (c == "[" && (n = index(substr(g, i + 2), "]")) > 0) {
      c = substr(g, i + 1, n)
      sub(/^!/, "^", c)
      gsub(/\\/, "", c)
      out = out "[" c "]"
      i += n + 1
    } else if (index(".+()[]{}|^$\\", c)) out = out (c == "\\" || c == "^" ? "\\" c : "[" c "]")
    else out = out c
  }
  return out
}

function assign(name, v,   was) {
  if (name ~ /^(GIT_[A-Z_]*(PAGER|EDITOR|COMMAND|DIFF)|PAGER|EDITOR|VISUAL|PROMPT_COMMAND)$/) run(v, "")
  if (MAYBE && known(name) && (was = lookup(name)) != v) {
    if (index(ALT was ALT, ALT v ALT)) return
    v = either(was, v)
  }
  VALUE[name] = v
}

# One of two values. What only grows by further words is the longer one.
function either(was, v,   n, m, A, B, i, j, out) {
  n = split(was, A, "[" ALT "]")
  m = split(v, B, "[" ALT "]")
  if (n + m > 40) { lost("it may be one of too many"); return U }
  out = v
  for (i = 1; i <= n; i++) {
    for (j = 1; j <= m; j++) if (A[i] == B[j] || index(B[j], A[i] " ") == 1) break
    if (j > m) out = A[i] ALT out
  }
  return out
}

function join(list, by) {
  sub(SEP "$", "", list)
  gsub(SEP, by, list)
  return list
}
`
