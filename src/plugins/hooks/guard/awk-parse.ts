/**
 * Goes through a script of the shell in the order in which it is run, with `S` as its text and `P` as the place in it.
 *
 *   run(text, in)   runs a script with something on its standard input; gives what it writes
 *   list, pipeline, command, simple   the same for the parts of the grammar; `CLOSER` is the word that ended a list
 *
 * While `DRY` is not 0 nothing happens: that finds where something ends. A condition is taken to be true and false: what
 * is assigned under one (`MAYBE`) is one more value.
 */
export const parse = String.raw`
function run(script, given,   s, p, h, out) {
  if (script == "") return ""
  if (ENOUGH) return U
  if (DEPTH >= 12 || ++RUNS > 600) { lost("it is nested too deeply"); return U }
  s = S; p = P; h = HERE
  S = script; P = 1; HERE = 0; DEPTH++
  for (out = ""; P <= length(S); ) {
    out = out sequence(given)
    if (CLOSER == "" && P <= length(S)) P++
  }
  S = s; P = p; HERE = h; DEPTH--
  return out
}

function at(n) { return substr(S, P, n) }

# To the next word of a line; a comment and what a backslash joins are no part of it.
function blanks(   c) {
  for (; P <= length(S); P++) {
    c = at(1)
    if (c == "\\" && at(2) == "\\\n") P++
    else if (c == "#" && (P == 1 || index(" \t\n;&|()", substr(S, P - 1, 1)))) { P += lineEnd(S, P) - P; P-- }
    else if (c != " " && c != "\t" && c != "\r") return
  }
}

function lineEnd(s, p,   n, m) {
  for (m = length(s); p <= m; p += 500) if ((n = index(substr(s, p, 500), "\n")) > 0) return p + n - 1
  return m + 1
}

function newline() {
  P++
  if (HERE) { P = HERE; HERE = 0 }
}

function sequence(given,   out, c, w, after) {
  out = ""
  after = ""
  while (1) {
    blanks()
    if (ENOUGH) P = length(S) + 1
    if (P > length(S)) { CLOSER = ""; return out }
    c = at(1)
    if (c == "\n") { newline(); after = ""; continue }
    if (at(2) == ";;" || at(2) == ";&") { P += at(3) == ";;&" ? 3 : 2; CLOSER = ";;"; return out }
    if (c == ";" || c == "&" || c == "|") { after = at(2); if (after != "||" && after != "&&") after = substr(after, 1, 1); P += length(after); continue }
    if (c == ")") { P++; CLOSER = ")"; return out }
    w = word(P)
    if (w in CLOSES) { P += length(w); CLOSER = w; return out }
    if (after == "||") MAYBE++
    out = out pipeline(given)
    if (after == "||") MAYBE--
    after = ""
  }
}

# The plain word at a place: of a reserved word or the name of a function.
function word(p,   n, w) {
  w = substr(S, p, 80)
  if (substr(w, 1, 1) == "{" || substr(w, 1, 1) == "}" || substr(w, 1, 1) == "!") return substr(w, 2, 1) ~ /^[ \t\n;&|)]?$/ ? substr(w, 1, 1) : ""
  n = match(w, /[^A-Za-z0-9_.:-]/)
  w = n ? substr(w, 1, n - 1) : w
  n = substr(S, p + length(w), 1)
  return n == "" || index(" \t\r\n;&|()<>", n) ? w : ""
}

function pipeline(given,   out, w) {
  for (w = word(P); w == "!" || w == "time"; w = word(P)) {
    P += length(w)
    blanks()
    if (w == "time" && at(2) == "-p") { P += 2; blanks() }
  }
  out = command(given)
  for (blanks(); at(1) == "|" && at(2) != "||"; blanks()) {
    P += at(2) == "|&" ? 2 : 1
    for (blanks(); at(1) == "\n"; blanks()) newline()
    out = command(out)
  }
  return out
}

function command(given,   w, start) {
  w = at(1) == "(" ? "(" : match(substr(S, P, 3), /^\[\[[ \t\n]/) ? "[[" : word(P)
  if (w in OPENS) return grouped(w, given)
  if (w == "function") {
    P += 8
    blanks()
    w = word(P)
    P += length(w)
    blanks()
    if (at(1) == "(") P += 2
    return define(w)
  }
  if (w != "" && !(w in CLOSES)) {
    start = P
    P += length(w)
    blanks()
    if (at(1) == "(" && match(substr(S, P, 20), /^\([ \t]*\)/)) {
      P += RLENGTH
      return define(w)
    }
    P = start
  }
  return simple(given)
}

# Its redirections stand behind it, and are for all of it: they are read first.
function grouped(w, given,   start, here, stdin, to, out) {
  start = P
  here = HERE
  DRY++
  compound(w, "")
  DRY--
  stdin = redirections(given)
  if (DRY) return ""
  to = TO
  P = start
  HERE = here
  out = compound(w, stdin)
  DRY++
  redirections("")
  DRY--
  return written(to, out)
}

function compound(w, given,   out, n, cwd, values) {
  P += length(w)
  if (w == "(") {
    if (at(1) == "(") { arithmetic(); return "" }
    cwd = CWD
    for (out = sequence(given); CLOSER != ")" && CLOSER != ""; ) out = out sequence(given)
    if (!DRY) CWD = cwd
    return out
  }
  if (w == "{") return until(given, "}")
  if (w == "[[") { test(); return "" }
  if (w == "if") {
    out = sequence(given)
    MAYBE++
    while (CLOSER != "fi" && CLOSER != "") out = out sequence(given)
    MAYBE--
    return out
  }
  if (w == "while" || w == "until") {
    out = until(given, "do")
    MAYBE++
    n = P; values = SHIFTED
    out = out until(given, "done")
    # The next round has other arguments.
    if (SHIFTED != values) { P = n; out = out until(given, "done") }
    MAYBE--
    return out
  }
  if (w == "for" || w == "select") {
    blanks()
    if (at(2) == "((") { P++; arithmetic() }
    else {
      n = word(P)
      P += length(n)
      values = VALUE["@"]
      for (blanks(); at(1) == "\n"; blanks()) newline()
      if (word(P) == "in") { P += 2; values = wordsHere() }
      if (!DRY) { VALUE[n] = join(values, ALT) }
    }
    out = until(given, "do")
    return out until(given, "done")
  }
  # case
  blanks()
  raw()
  for (blanks(); at(1) == "\n"; blanks()) newline()
  P += 2
  MAYBE++
  for (out = ""; P <= length(S); ) {
    for (blanks(); at(1) == "\n"; blanks()) newline()
    if (word(P) == "esac") { P += 4; break }
    if (at(1) == "(") P++
    for (; P <= length(S) && at(1) != ")"; blanks()) if (raw() == "") P++
    P++
    out = out sequence(given)
    if (CLOSER == "esac") break
  }
  MAYBE--
  return out
}

function until(given, closer,   out) {
  for (out = sequence(given); CLOSER != closer && CLOSER != ""; ) out = out sequence(given)
  return out
}

# Behind (( )), of which P is at the second bracket; what stands in $( ) is run.
function arithmetic(   start) {
  start = P + 1
  P = skipParens(S, start) + 1
  if (!DRY) expanded(substr(S, start, P - start - 2), 1)
}

# What is between brackets runs no program, but for what stands in $( ).
function test(   w) {
  for (; P <= length(S); ) {
    blanks()
    if (at(2) == "]]") { P += 2; return }
    w = raw()
    if (w == "") P++
    else if (!DRY) expand(w)
  }
}

function define(name,   start, body, w) {
  for (blanks(); at(1) == "\n"; blanks()) newline()
  start = P
  DRY++
  command("")
  DRY--
  if (DRY) return ""
  body = substr(S, start, P - start)
  BODY[name] = body
  w = name
  gsub(/[.:-]/, "[&]", w)
  if (body ~ ("(^|[ \t\n{(|;&])" w "[ \t]*[|][&]?[ \t]*" w "[ \t]*[&]") || body ~ ("(^|[ \t\n{(;&])" w "[ \t]*&[ \t]*" w "[ \t]*&"))
    judge("fork " name " @bomb")
  return ""
}

# The words up to the end of a command.
function wordsHere(   out, w) {
  out = ""
  while (1) {
    blanks()
    w = raw()
    if (w == "") return out
    if (!DRY) out = out each(w)
  }
}

# The word at P as it stands there, with its quotes; "" at the end of a command.
function raw(isFirst,   start) {
  start = P
  P = skip(S, P, "\n \t\r;&|()<>")
  # A pattern such as !(x), where no function can be.
  while (!isFirst && at(1) == "(" && P > start && index("!@+?*", substr(S, P - 1, 1))) P = skip(S, skipParens(S, P + 1), "\n \t\r;&|()<>")
  return substr(S, start, P - start)
}
`
