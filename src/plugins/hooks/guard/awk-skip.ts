/** Where parts of a script end: quotes, brackets, and texts behind `<<`. */
export const skipping = String.raw`
# The place after a part of s that ends before one of the characters, which do not count in quotes and brackets.
function skip(s, p, stops,   c, n, m) {
  for (m = length(s); p <= m; ) {
    n = match(substr(s, p, 200), /[^A-Za-z0-9_.\/:=+%@~*?!-]/)
    if (!n) { p += length(substr(s, p, 200)); continue }
    p += n - 1
    c = substr(s, p, 1)
    if (c == "\\") { p += 2; continue }
    if (c == "'") { n = index(substr(s, p + 1), "'"); p = n ? p + n + 1 : m + 1; continue }
    if (c == "\"") { p = skipQuotes(s, p + 1); continue }
    if (c == BT) { p = skipTicks(s, p + 1); continue }
    if (c == "$") {
      n = substr(s, p + 1, 1)
      if (n == "(") p = skipParens(s, p + 2)
      else if (n == "{") p = skipBrace(s, p + 2)
      else if (n == "'") p = skipAnsi(s, p + 2)
      else p++
      continue
    }
    if ((c == "<" || c == ">") && substr(s, p + 1, 1) == "(") { p = skipParens(s, p + 2); continue }
    if (index(stops, c)) return p
    p++
  }
  return m + 1
}

function skipQuotes(s, p,   n, c) {
  for (; p <= length(s); ) {
    n = match(substr(s, p, 200), "[\"\\\\$" BT "]")
    if (!n) { p += length(substr(s, p, 200)); continue }
    p += n - 1
    c = substr(s, p, 1)
    if (c == "\"") return p + 1
    if (c == "\\") p += 2
    else if (c == BT) p = skipTicks(s, p + 1)
    else if (substr(s, p, 2) == "$(") p = skipParens(s, p + 2)
    else if (substr(s, p, 2) == "$" "{") p = skipBrace(s, p + 2)
    else p++
  }
  return p
}

function skipTicks(s, p,   c) {
  for (; p <= length(s); p++) {
    c = substr(s, p, 1)
    if (c == BT) return p + 1
    if (c == "\\") p++
  }
  return p
}

function skipAnsi(s, p,   c) {
  for (; p <= length(s); p++) {
    c = substr(s, p, 1)
    if (c == "'") return p + 1
    if (c == "\\") p++
  }
  return p
}

function skipBrace(s, p,   c) {
  for (; p <= length(s); ) {
    p = skip(s, p, "}")
    if (substr(s, p, 1) == "}") return p + 1
  }
  return p
}

# Behind the bracket that closes; in a text behind << quotes and brackets mean nothing.
function skipParens(s, p,   c, here, depth, w) {
  here = ""
  for (depth = 1; p <= length(s); ) {
    p = skip(s, p, "()<\n#")
    c = substr(s, p, 1)
    if (c == "(") { depth++; p++ }
    else if (c == ")") { if (!--depth) return p + 1; p++ }
    else if (c == "#") { if (index(" \t\n;(", substr(s, p - 1, 1))) p = lineEnd(s, p); else p++ }
    else if (substr(s, p, 3) == "<<<") p += 3
    else if (substr(s, p, 2) == "<<" && depth > 0) {
      p += 2
      w = substr(s, p, 1) == "-" ? "-" : ""
      p += length(w)
      for (; index(" \t", substr(s, p, 1)) && p <= length(s); ) p++
      c = skip(s, p, "\n \t\r;&|()<>")
      here = here w substr(s, p, c - p) "\n"
      p = c
    } else if (c == "\n" && here != "") {
      p = skipHere(s, p + 1, here)
      here = ""
    } else p++
  }
  return p
}

# The place behind the texts of some <<, whose words stand in here, each on a line; the texts in HERE_TEXT.
function skipHere(s, p, here,   n, end, strip, line, e) {
  while ((n = index(here, "\n")) > 0) {
    end = substr(here, 1, n - 1)
    here = substr(here, n + 1)
    strip = sub(/^-/, "", end)
    gsub("[\"'\\\\]", "", end)
    for (HERE_TEXT = ""; p <= length(s); ) {
      e = lineEnd(s, p)
      line = substr(s, p, e - p)
      p = e + 1
      if (strip) sub(/^\t+/, "", line)
      if (line == end) break
      # A bracket may follow in the same line.
      HERE_TEXT = HERE_TEXT line "\n"
    }
  }
  return p
}
`
