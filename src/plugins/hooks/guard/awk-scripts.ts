/** Texts and files that a shell runs. */
export const scripts = String.raw`
# Text that is run by a shell.
function scripted(script) {
  if (script ~ ("^[ \t\n]*" F)) judge("sh @fetched")
  else if (script ~ ("^[ \t\n]*" H)) judge("sh @hidden")
  else if (script ~ ("^[ \t\n]*[" U N E P_ALL "]")) { unsure("what is run is not known"); return U }
  return run(script, STDIN)
}

# A script on standard input leaves nothing there for what it runs.
function consumed(script) {
  STDIN = ""
  return scripted(script)
}

function shell(a, n, args, stdin,   i, hasC, w, saved, out) {
  hasC = 0
  for (i = 2; i <= n && a[i] ~ /^[-+]./ && a[i] != "--"; i++) {
    w = a[i]
    if (w ~ /^--(rcfile|init-file)$/) { i++; continue }
    if (w ~ /^--/) { if (w == "--command") hasC = 1; continue }
    if (w ~ /c/ && w ~ /^-/) hasC = 1
    if (w ~ /^-[a-z]*x/) TRACED = 1
    if (w ~ /s/ && !hasC) return consumed(stdin)
    if (w ~ /[oO]$/ && i < n && a[i + 1] !~ /^[-+]/) i++
  }
  if (a[i] == "--" || a[i] == "-") i++
  if (i > n) return hasC || stdin == "" ? "" : consumed(stdin)
  saved = VALUE["@"]
  arguments(drop(args, i))
  if (hasC) { if (i + 1 <= n) { arguments(drop(args, i + 1)); VALUE["0"] = a[i + 1] } out = scripted(a[i]) }
  else out = scriptFile(a[i])
  arguments(saved)
  return out
}

# A file that is run: what this command wrote into it, or what it holds.
function scriptFile(path,   p, text) {
  p = absolute(path)
  text = content(path)
  if (text != U) return scripted(text)
  if (p in READING) return U
  text = readScript(p)
  if (text == "") { if (index(path, U)) unsure("what is run is not known"); else if (BROUGHT && !exists(p)) unsure(NEW); return U }
  if (++SCRIPTS > 8) return U
  READING[p] = 1
  foreign(text)
  return U
}

# A script of others is judged as far as that goes, and what it is given is not known.
function foreign(text,   steps, runs, words) {
  steps = STEPS; runs = RUNS; words = WORDS
  STEPS = 1000; RUNS = 300; WORDS = 4000
  FOREIGN++
  run(text, U)
  if (!--FOREIGN) ENOUGH = 0
  STEPS = steps; RUNS = runs; WORDS = words
}

# The text of a script on disk; "" when there is none, or it is none of the shell's, or long.
function readScript(path,   line, out, size) {
  out = ""
  if (!isFile(path)) return ""
  for (size = 0; (getline line < path) > 0; ) {
    if (out == "" && line ~ /^#!/ && line !~ /sh( |$)/) break
    if (line ~ /[\001-\010]/) { out = ""; break }
    out = out line "\n"
    size += length(line)
    if (size > 20000) { out = ""; break }
  }
  close(path)
  gsub(/[\034-\037]/, "?", out)
  return out
}

# Some awks end when they are to read a directory.
function isFile(path) { return isOnDisk("-f", path) }

function exists(path) { return isOnDisk("-e", path) }

function isOnDisk(how, path) {
  if (path !~ /^\// || path ~ /[\001-\037]/) return 0
  gsub(/'/, "'\\''", path)
  return system("[ " how " '" path "' ]") == 0
}

function changeTo(path) {
  if (path == "" || path == "-") { if (path == "-") CWD = U; return }
  CWD = absolute(path)
}
`
