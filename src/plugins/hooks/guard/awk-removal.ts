/**
 * What the code of an interpreter removes: every call of a `REMOVER`, with the paths that its argument may stand for. Of
 * an argument what is plain is known: texts, the home, the working directory, these joined, and names that are given such
 * in an assignment or a loop.
 */
export const removal = String.raw`
function removals(code,   rest, before, list, n) {
  # That something is there is no choice.
  gsub(/if +(not +)?[A-Za-z_.]*(is_?dir|is_?file|is_?link|exists|existsSync)[(]/, "(", code)
  CHOOSES = code ~ /(^|[^A-Za-z_])(if|unless)[ (]|[.]filter[(]|&&/
  rest = code
  for (n = 0; n < 50 && match(rest, REMOVER); n++) {
    before = substr(rest, 1, RSTART - 1)
    rest = substr(rest, RSTART + RLENGTH)
    # p.unlink() removes what p stands for.
    if (rest !~ /^[)]/) list = paths(rest, code, 0)
    else list = match(before, /[A-Za-z_][A-Za-z0-9_]*[.]$/) ? bound(substr(before, RSTART, RLENGTH - 1), code, 0) : ""
    if (list != "") execute("rm" SEP "-rf" SEP list, "")
  }
}

# The paths that the expression at the beginning of e may be, each with SEP behind it.
function paths(e, code, depth,   list, n, w, joined, lists) {
  if (depth > 3 || ++PATHS > 150) return ""
  # joined: how many brackets end before that of the join does, and 1.
  joined = lists = 0
  for (sub(/^[ \t\n]+/, "", e); match(e, WRAPPER); e = substr(e, n)) {
    w = substr(e, 1, RLENGTH)
    n = RLENGTH + 1
    if (w ~ /(join|resolve)[( ]+$/) joined = 1
    else if (joined && w ~ /[(]/) joined++
    if (w ~ /(listdir|scandir|walk|readdirSync|readdir|children|entries|each_child)[( ]+$/) lists = 1
  }
  if (match(e, HOME_IN_CODE)) { n = RLENGTH; list = HOME SEP }
  else if (match(e, CWD_IN_CODE)) { n = RLENGTH; list = CWD SEP }
  else if (match(e, "^[frbu]*[\"'" BT "]")) {
    n = index(substr(e, RLENGTH + 1), substr(e, RLENGTH, 1)) + RLENGTH
    w = filledIn(substr(e, RLENGTH + 1, n - RLENGTH - 1), e ~ ("^(f|" BT ")"), code, depth)
    list = (w ~ /^~(\/|$)/ ? HOME substr(w, 2) : w) SEP
  }
  else if (match(e, /^([[(]|%w.)/)) return elements(substr(e, RLENGTH + 1), RLENGTH > 1, code, depth)
  else if (match(e, /^[$@]?[A-Za-z_][A-Za-z0-9_]*/) && substr(e, RLENGTH + 1, 1) != "(") { n = RLENGTH; list = bound(substr(e, 1, n), code, depth) }
  else return ""
  return below(list, substr(e, n + 1), joined, lists, code, depth)
}

# A text in which names stand in brackets.
function filledIn(v, hasNames, code, depth,   w, isFirst) {
  v = unescaped(v)
  while (hasNames && match(v, /[$]?[{][^{}]*[}]/)) {
    isFirst = RSTART == 1 || substr(v, RSTART - 1, 1) ~ /[ \t=:]/
    w = substr(v, RSTART, RLENGTH)
    gsub(/^[$]?[{]|[}]$/, "", w)
    w = isFirst ? paths(w, code, depth + 1) : meaning(w, code, depth)
    match(v, /[$]?[{][^{}]*[}]/)
    v = substr(v, 1, RSTART - 1) (w == "" ? "found" : substr(w, 1, index(w, SEP) - 1)) substr(v, RSTART + RLENGTH)
  }
  return v
}

# What is below the paths of a list as the rest of the expression says: / "x", .glob("x"), + "x", and , "x" in a join.
function below(list, rest, joined, lists, code, depth,   w, by) {
  while (1) {
    for (; match(rest, /^[ )]/); rest = substr(rest, 2)) if (substr(rest, 1, 1) == ")" && joined) joined--
    if (match(rest, /^[.](iterdir|children|each_child)/)) w = some() SEP
    else if (match(rest, /^([.](r?glob|joinpath)[(]|\/|[+]) *f?["'][^"']*["']/) || (joined && match(rest, /^, *f?["'][^"']*["']/))) {
      w = substr(rest, 1, RLENGTH)
      gsub(/^[^"']*["']|["']$/, "", w)
      w = (w ~ /^[*.\/]+$/ ? some() : w) SEP
    } else if (match(rest, /^(\/|[+]) *[A-Za-z_][A-Za-z0-9_.]*/) || (joined && match(rest, /^, *[A-Za-z_][A-Za-z0-9_.]*/))) {
      w = substr(rest, 2, RLENGTH - 1)
      by = RLENGTH
      w = meaning(w, code, depth)
      RLENGTH = by
    } else break
    list = extended(list, rest ~ /^[+]/ ? "" : "/", w)
    rest = substr(rest, RLENGTH + 1)
  }
  return lists ? extended(list, "/", some() SEP) : list
}

function extended(list, by, more,   out, one, w, n) {
  for (out = ""; (n = index(list, SEP)) > 0; list = substr(list, n + 1))
    for (w = more; (one = index(w, SEP)) > 0; w = substr(w, one + 1)) out = out substr(list, 1, n - 1) by substr(w, 1, one - 1) SEP
  return out
}

# What a name may be that stands behind a path.
function meaning(name, code, depth,   list) {
  gsub(/ /, "", name)
  list = bound(name, code, depth)
  return list == "" || list ~ ("^/|(^|/)[*]" SEP) ? some() SEP : list
}

# A name that stands for what is in a directory: all of it, or what the code chooses.
function some() { return CHOOSES ? "found" : "*" }

# What stands in a list, up to the bracket that ends it.
function elements(e, isWords, code, depth,   n, i, A, out) {
  if (match(e, isWords ? "[])}]" : "\\]|[)][ \t]*(:|\n|$)")) e = substr(e, 1, RSTART - 1)
  n = split(e, A, isWords ? " " : ",")
  out = ""
  for (i = 1; i <= n && i <= 30; i++) out = out (isWords ? A[i] SEP : A[i] ~ /join[(]/ ? "" : paths(A[i], code, depth + 1))
  return out
}

# What a name is given in assignments, and in loops over lists.
function bound(name, code, depth,   out, rest, w) {
  gsub(/[$]/, "[$]", name)
  out = ""
  w = "(^|[^A-Za-z0-9_.$])" name
  for (rest = code; match(rest, w " *:?= *[^= >]|" w "[A-Za-z0-9_, ]* (in|of) +[^ ]|[eE]ach[( ]+(do )?[{|( ]*" name "[^A-Za-z0-9_]"); ) {
    if (substr(rest, RSTART, 4) ~ /[eE]ach/) out = out listBefore(substr(rest, 1, RSTART), code, depth)
    rest = substr(rest, RSTART + RLENGTH - 1)
    out = out paths(rest, code, depth + 1)
  }
  return out
}

# The list of which each element is given: [ … ].forEach( and %w[ … ].each.
function listBefore(text, code, depth,   n) {
  for (n = length(text); n > 0 && substr(text, n, 1) != "["; n--) ;
  return n ? elements(substr(text, n + 1), substr(text, n - 2, 2) == "%w", code, depth) : ""
}
`
