/** Interpreters: what their code runs and removes. */
export const code = String.raw`
# An interpreter: the code it is given, and what runs a shell in it.
function interpreted(prog, a, n, args, stdin,   i, k, code, name, has) {
  name = prog
  sub(/[0-9.]+$/, "", name)
  judgeWords(args, "")
  code = ""
  has = 0
  for (i = 2; i <= n; i++) {
    if (a[i] ~ INTERPRETER[name]) { has = 1; code = code a[i + 1] "\n"; i++; continue }
    if (a[i] ~ /^--(eval|print|execute)=/) { has = 1; code = code a[i] "\n"; continue }
    # A module is a program.
    if (a[i] ~ /^-m/ && name == "python") {
      k = a[i] == "-m" ? i + 1 : i
      sub(/^-m/, "", a[k])
      gsub(/_/, "-", a[k])
      return execute(a[k] SEP drop(args, k), stdin)
    }
    if (a[i] ~ /^-m/) return U
    if (a[i] !~ /^-./) {
      if (has) break
      if (name ~ /^(awk|gawk|mawk|nawk|sed|gsed)$/) { code = a[i]; has = 1; break }
      if (a[i] == "-") break
      judgeWords(drop(args, i - 1), "")
      if (a[i] ~ /(^|\/)manage[.]py$/) console("django", a[i + 1], join(drop(args, i + 1), " "), stdin)
      code = content(a[i])
      has = 1
      if (code == U) return U
      break
    }
  }
  if (!has) {
    if (index(stdin, F)) judge("sh @fetched")
    if (index(stdin, H)) judge("sh @hidden")
    code = stdin
  }
  if (index(code, F)) judge("sh @fetched")
  if (index(code, H)) judge("sh @hidden")
  inCode(name, code)
  # What it was told to show of its own environment.
  if (code ~ /(console[.][a-z]+|print|JSON[.]stringify|json[.]dumps|puts|^)[( ]*(dict[(])?(process[.]env|os[.]environ|ENV)[ );\n]/) return E
  if (code ~ /urlopen|requests[.]get|httpx|fetch[(]|https?[.]get|open-uri|LWP|file_get_contents/ || index(stdin, F)) {
    BROUGHT = 1
    return F
  }
  return name ~ /awk|sed/ && stdin != "" ? filtered(name, a, n, args, stdin) : U
}

function inCode(name, code,   flat, literal, last, joined, q, p, e, start, between) {
  if (code == "") return
  flat = code
  gsub(/[ \t\n]+/, " ", flat)
  judge(name " @code " substr(flat, 1, 4000))
  if (name ~ /sed$/) { if (match(code, /(^|[0-9;\/$ ])e +[a-z].*$/)) { p = substr(code, RSTART, RLENGTH); sub(/^[^e]*e +/, "", p); run(p, "") } return }
  if (flat !~ /system|popen|exec|spawn|subprocess|check_output|check_call|qx|Popen|shell|[|] *getline|[|] *"|run[(]|[.]run|[$][(]|%x|execute|query|unlink/ && flat !~ REMOVER && !index(flat, BT)) return
  if (name ~ /^(ruby|perl)$/) while (match(code, /(%x|%[qQ]|q[xqw]?)[ ]*[({[|!]/)) code = requoted(code, RSTART, RSTART + RLENGTH)
  removals(code)
  joined = ""
  # Texts with nothing but a comma between them are the words of one command.
  for (p = 1; p <= length(code); ) {
    start = p
    e = match(substr(code, p), "[\"'" BT "]")
    between = e ? substr(code, p, e - 1) : ""
    if (!e || between !~ /^ *, *(\[ *)?(os[.]path[.]expanduser[(])?$/) {
      # The last of them may be a name.
      if (joined != "" && match(substr(code, start, 80), /^ *, *[A-Za-z_]/)) joined = joined paths(substr(code, start + RLENGTH - 1), code, 0)
      if (joined != "") execute(joined, "")
      joined = ""
    }
    if (!e) break
    q = substr(code, p + e - 1, 1)
    p += e
    literal = ""
    while (p <= length(code) && substr(code, p, 1) != q) {
      if (substr(code, p, 1) == "\\") { literal = literal substr(code, p, 2); p += 2 }
      else { literal = literal substr(code, p, 1); p++ }
    }
    p++
    literal = filledIn(literal, q == BT || between ~ /(^|[^A-Za-z])f$/, code, 0)
    if (literal ~ /^~/ && between ~ /expanduser[(]$/) literal = HOME substr(literal, 2)
    if (between ~ /^ *[+.] *$/) literal = last literal
    last = literal
    joined = joined literal SEP
    if (literal ~ /[ ;|&]/) { run(literal, ""); if (flat ~ /execute|query/ && !index(code, ":memory:")) statements("psql", literal) }
  }
  if (joined != "") execute(joined, "")
}

# The text between %x( ) and the like as one in quotes.
function requoted(code, from, inside,   closer, e) {
  closer = substr(")}]|!", index("({[|!", substr(code, inside - 1, 1)), 1)
  e = index(substr(code, inside), closer)
  if (!e) e = length(code) - inside + 2
  return substr(code, 1, from - 1) BT substr(code, inside, e - 1) BT substr(code, inside + e)
}
`
