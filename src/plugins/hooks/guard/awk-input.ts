/** Reads the JSON that an agent tells of a tool: `TOOL`, `CWD`, and what the tool is to be given in `V`, in order. */
export const input = String.raw`
function read_input(   line) {
  J = ""
  while ((getline line) > 0) J = J (J == "" ? "" : "\n") line
  JN = length(J)
  JP = 1
  NV = 0
  jsonValue("")
}

function space() { while (JP <= JN && index(" \t\r\n", substr(J, JP, 1))) JP++ }

function jsonValue(path,   c, key, n) {
  space()
  c = substr(J, JP, 1)
  if (c == "\"") return leaf(path, jsonText())
  if (c == "{" || c == "[") {
    JP++
    for (n = 0; ; n++) {
      space()
      if (JP > JN) { BROKEN = 1; return }
      if (index("}]", substr(J, JP, 1))) { JP++; return }
      if (c == "{") {
        if (substr(J, JP, 1) != "\"") { BROKEN = 1; return }
        key = jsonText()
        space()
        JP++
      } else key = "#" n
      jsonValue(path (path == "" ? "" : ".") key)
      if (BROKEN) return
      space()
      if (substr(J, JP, 1) == ",") JP++
    }
  }
  c = match(substr(J, JP, 64), /[]},[:space:]]/)
  if (c == 1) { BROKEN = 1; return }
  JP = c ? JP + c - 1 : JN + 1
}

# Control characters are ours: they mark what is not known.
function jsonText(   out, rest, n, c) {
  out = ""
  for (JP++; JP <= JN; ) {
    rest = substr(J, JP, 400)
    n = match(rest, /["\\]/)
    if (!n) { out = out rest; JP += length(rest); continue }
    out = out substr(rest, 1, n - 1)
    JP += n
    if (substr(rest, n, 1) == "\"") return out
    c = substr(J, JP++, 1)
    if (c == "n") out = out "\n"
    else if (c == "t") out = out "\t"
    else if (c == "r") out = out "\r"
    else if (c == "u") out = out unicode()
    else if (c == "b" || c == "f") out = out "?"
    else out = out c
  }
  BROKEN = 1
  return out
}

function unicode(   code, low) {
  code = hex(substr(J, JP, 4))
  JP += 4
  if (code >= 55296 && code < 56320 && substr(J, JP, 2) == "\\u") {
    low = hex(substr(J, JP + 2, 4))
    if (low >= 56320 && low < 57344) { JP += 6; code = 65536 + (code - 55296) * 1024 + low - 56320 }
  }
  if (code == 9 || code == 10 || code == 13) return sprintf("%c", code)
  if (code < 32 || code == 127) return "?"
  if (code < 128) return sprintf("%c", code)
  if (code < 2048) return byte(192 + int(code / 64)) byte(128 + code % 64)
  if (code < 65536) return byte(224 + int(code / 4096)) byte(128 + int(code / 64) % 64) byte(128 + code % 64)
  return byte(240 + int(code / 262144)) byte(128 + int(code / 4096) % 64) byte(128 + int(code / 64) % 64) byte(128 + code % 64)
}

# What stands for a character outside of ASCII: nothing that is judged has one.
function byte(code) { return sprintf("%c", code) }

function hex(digits,   n, i) {
  n = 0
  for (i = 1; i <= length(digits); i++) n = n * 16 + index("0123456789abcdef", tolower(substr(digits, i, 1))) - 1
  return n
}

function leaf(path, given) {
  if (path == "tool_name" || path == "tool") TOOL = given
  else if (path == "cwd") CWD = given
  else if (path ~ /^(tool_input|args|input|arguments)\./) {
    NV++
    VP[NV] = path
    sub(/^[^.]*\./, "", VP[NV])
    V[NV] = given
  }
}

function quoted(given,   out, i, c) {
  out = ""
  for (i = 1; i <= length(given); i++) {
    c = substr(given, i, 1)
    if (c == "\"" || c == "\\") out = out "\\" c
    else if (c == "\n" || c == "\t") out = out " "
    else if (c < " " || c > "~") out = out "?"
    else out = out c
  }
  return "\"" out "\""
}
`
