/**
 * What the words of a command stand for. A value may be one of several, told apart by `ALT`; what is split into words has
 * `FIELD` in it. A list of words has `SEP` behind each.
 *
 *   U  something that is not known        F  something that was fetched       H  something decoded
 *   N  the same, that is not empty        T  Instar's token                   E  an environment
 */
export const expansion = String.raw`
# The words that a word as it is written becomes.
function each(r,   n, i, list, out) {
  if (index(r, "{")) {
    list = braces(r)
    n = split(list, EACH, "[" SEP "]") - 1
    if (n > 1) {
      out = ""
      for (i = 1; list != ""; i++) {
        n = index(list, SEP)
        out = out fields(substr(list, 1, n - 1))
        list = substr(list, n + 1)
      }
      return out
    }
  }
  return fields(r)
}

function fields(r,   v) {
  v = expand(r)
  if (v == "") return r ~ /["']/ ? SEP : ""
  gsub("[" ALT FIELD "]+", SEP, v)
  sub("^" SEP, "", v)
  sub(SEP "$", "", v)
  return v == "" ? "" : v SEP
}

# {a,b} outside of quotes, from left to right.
function braces(r,   p, open, depth, c, start, parts, i, n, before, out, inner) {
  for (p = 1; p <= length(r); ) {
    p = skip(r, p, "{")
    if (p > length(r)) return r SEP
    open = p
    parts = ""
    start = ++p
    for (depth = 1; p <= length(r); ) {
      p = skip(r, p, "{},")
      c = substr(r, p, 1)
      if (c == "{") depth++
      if (c == "}") depth--
      if ((c == "," && depth == 1) || depth == 0) { parts = parts substr(r, start, p - start) SEP; start = p + 1 }
      p++
      if (depth == 0) break
    }
    if (depth == 0 && split(parts, EACH, "[" SEP "]") > 2) {
      before = substr(r, 1, open - 1)
      out = ""
      while ((n = index(parts, SEP)) > 0) {
        if (++BRACES > 300) { lost("it stands for too many words"); return out }
        out = out braces(before substr(parts, 1, n - 1) substr(r, p))
        parts = substr(parts, n + 1)
      }
      return out
    }
    p = open + 1
  }
  return r SEP
}

function cross(a, b,   out, n, m, i, j, A, B) {
  if (b == "") return a
  if (a == "") return b
  if (length(a) + length(b) > 200000) { lost("it stands for too long a text"); return U }
  if (!index(a, ALT) && !index(b, ALT)) return a b
  n = split(a, A, "[" ALT "]")
  m = split(b, B, "[" ALT "]")
  if (n * m > 60) { lost("it may be one of too many"); return U }
  out = ""
  for (i = 1; i <= n; i++) for (j = 1; j <= m; j++) out = out (i + j > 2 ? ALT : "") A[i] B[j]
  return out
}

function expand(r) { return expanded(r, 0) }

function expanded(r, inQuotes,   out, p, m, n, c, d, v) {
  out = ""
  m = length(r)
  p = 1
  if (!inQuotes && substr(r, 1, 1) == "~") {
    match(r, /^~[A-Za-z0-9_+.-]*/)
    v = substr(r, 2, RLENGTH - 1)
    c = substr(r, RLENGTH + 1, 1)
    if (c == "" || c == "/") {
      p = RLENGTH + 1
      out = v == "" ? HOME : v == "+" ? CWD : v == "-" ? U : v == "root" ? "/root" : "/home/" v
    }
  }
  for (; p <= m; ) {
    n = match(substr(r, p, 400), "[\\\\'\"$" BT "<>]")
    if (!n) { c = substr(r, p, 400); out = cross(out, c); p += length(c); continue }
    if (n > 1) { out = cross(out, substr(r, p, n - 1)); p += n - 1 }
    c = substr(r, p, 1)
    d = substr(r, p + 1, 1)
    if (c == "\\") {
      if (d != "\n") out = cross(out, inQuotes && !index("$\"\\" BT, d) ? c d : d)
      p += 2
    } else if (c == "'" && !inQuotes) {
      n = index(substr(r, p + 1), "'")
      if (!n) n = m
      out = cross(out, substr(r, p + 1, n - 1))
      p += n + 1
    } else if (c == "\"" && !inQuotes) {
      n = skipQuotes(r, p + 1)
      out = cross(out, expanded(substr(r, p + 1, n - p - 2), 1))
      p = n
    } else if (c == BT) {
      n = skipTicks(r, p + 1)
      v = substr(r, p + 1, n - p - 2)
      gsub("\\\\[" BT "]", BT, v)
      gsub(/\\[$]/, "$", v)
      out = cross(out, splitting(captured(v), inQuotes))
      p = n
    } else if (c == "$" && d == "(") {
      n = skipParens(r, p + 2)
      v = substr(r, p + 2, n - p - 3)
      if (substr(v, 1, 1) == "(" && substr(v, length(v), 1) == ")") v = number(expanded(substr(v, 2, length(v) - 2), 1))
      else v = splitting(captured(v), inQuotes)
      out = cross(out, v)
      p = n
    } else if (c == "$" && d == "{") {
      n = skipBrace(r, p + 2)
      out = cross(out, splitting(parameter(substr(r, p + 2, n - p - 3), inQuotes), inQuotes))
      p = n
    } else if (c == "$" && d == "'" && !inQuotes) {
      n = skipAnsi(r, p + 2)
      out = cross(out, unescaped(substr(r, p + 2, n - p - 3)))
      p = n
    } else if (c == "$" && match(substr(r, p + 1, 100), /^([A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])/)) {
      v = substr(r, p + 1, RLENGTH)
      p += 1 + RLENGTH
      out = cross(out, splitting(lookup(v), inQuotes || v == "@"))
    } else if (c == "$" && d == "\"" && !inQuotes) p++
    else if ((c == "<" || c == ">") && d == "(" && !inQuotes) {
      n = skipParens(r, p + 2)
      v = "/dev/fd/p" (++PIPES)
      if (c == "<") FILE[v] = captured(substr(r, p + 2, n - p - 3))
      else READER[v] = substr(r, p + 2, n - p - 3)
      out = cross(out, v)
      p = n
    } else { out = cross(out, c); p++ }
  }
  return out
}

# What an unquoted value is split at.
function splitting(v, inQuotes,   ifs) {
  if (inQuotes) return v
  ifs = "IFS" in VALUE ? VALUE["IFS"] : " \t\n"
  gsub(/[]\\^-]/, "", ifs)
  if (ifs != "") gsub("[" ifs "]+", FIELD, v)
  return v
}

function captured(script,   out, cwd) {
  if (DRY) return ""
  cwd = CWD
  out = run(script, "")
  CWD = cwd
  sub(/[\n]+$/, "", out)
  return out
}

function number(v) {
  gsub(/[ \t]/, "", v)
  if (v ~ /^-?[0-9]+$/) return v
  if (match(v, /^[0-9]*[-+][0-9]+$/)) {
    match(v, /^[0-9]*/)
    return substr(v, 1, RLENGTH) + substr(v, RLENGTH + 1)
  }
  return "7"
}

# $'…', and what echo -e and printf make of a text.
function unescaped(s,   out, n, c, d) {
  out = ""
  while ((n = index(s, "\\")) > 0) {
    out = out substr(s, 1, n - 1)
    c = substr(s, n + 1, 1)
    s = substr(s, n + 2)
    if (c == "n" || c == "r" || c == "t" || c == "v" || c == "f") out = out (c == "n" ? "\n" : c == "t" ? "\t" : " ")
    else if (c == "x" || c == "u" || c == "U") {
      if (c == "x") match(s, /^[0-9a-fA-F][0-9a-fA-F]?/)
      else match(s, /^[0-9a-fA-F]+/)
      d = RLENGTH > 0 ? hex(substr(s, 1, RLENGTH)) : 63
      out = out (d >= 32 && d < 127 || d == 10 || d == 9 ? sprintf("%c", d) : "?")
      s = substr(s, RLENGTH > 0 ? RLENGTH + 1 : 1)
    } else if (c ~ /[0-7]/) {
      s = c s
      # Some awks miscount repeated marks for "or not".
      for (n = 1; n < (c == "0" ? 4 : 3) && substr(s, n + 1, 1) ~ /[0-7]/; n++) ;
      d = octal(substr(s, 1, n))
      s = substr(s, n + 1)
      out = out (d == 0 ? "\n" : d >= 32 && d < 127 || d == 10 || d == 9 ? sprintf("%c", d) : "?")
    } else out = out (c ~ /[abe]/ ? "?" : c)
  }
  return out s
}

function octal(digits,   n, i) {
  n = 0
  for (i = 1; i <= length(digits); i++) n = n * 8 + substr(digits, i, 1)
  return n
}
`
