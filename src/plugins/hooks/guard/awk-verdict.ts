/** Judges what a tool was given, and says so: exit code 10 forbids it, 11 says that it could not be judged. */
export const verdict = String.raw`
BEGIN {
  setUp()
  settings()
  HOME = ENVIRON["HOME"]
  if (HOME !~ /^\/./) HOME = "/root"
  DIRECTORY = ENVIRON["GUARD_DIRECTORY"]
  if (DIRECTORY !~ /^\/./) DIRECTORY = "/nowhere/guard"
  delete ENVIRON["GUARD_DIRECTORY"]
  delete ENVIRON["LC_ALL"]
  CWD = ""
  read_input()
  if (BROKEN) finish(11, "unjudged", "what the agent tells of the tool is not JSON", "")
  if (CWD !~ /^\//) CWD = LAUNCH ~ /^\// ? LAUNCH : ENVIRON["PWD"] ~ /^\// ? ENVIRON["PWD"] : "/nowhere"
  PROJECT = top(CWD)
  look()
  if (BLOCKED != "") finish(10, BLOCKED, WHY, WHAT)
  if (UNSURE != "") finish(DENY ? 10 : 11, "unjudged", DENY ? "It cannot be judged: " UNSURE ". Write it out" : UNSURE, "")
  exit 0
}

# The directory of the repository that a directory is in; otherwise where the session runs.
function top(d,   line, p) {
  p = ENVIRON["GUARD_TOP"]
  if (p != "" && isIn(d, p)) return p
  for (p = d; p != ""; sub(/\/[^\/]*$/, "", p)) if (headOf(p) != "") return p
  return LAUNCH ~ /^\// && isIn(d, LAUNCH) ? LAUNCH : d
}

# What is checked out in the repository of just this directory; "" when there is none.
function headOf(d,   line) {
  if (d == ENVIRON["GUARD_TOP"]) return ENVIRON["GUARD_HEAD"]
  line = ""
  if ((getline line < (d "/.git/HEAD")) <= 0) line = ""
  close(d "/.git/HEAD")
  return line
}

function look(   i, key, words, isShell) {
  isShell = 0
  for (i = 1; i <= NV; i++) if (VP[i] ~ /^(command|cmd|script|commands|chars)([.]#[0-9]+)?$/) isShell = 1
  if (isShell) for (i = 1; i <= NV; i++) if (VP[i] ~ /^(workdir|cwd|dir_path|directory|working_directory)$/ && V[i] != "") CWD = absolute(V[i])
  words = ""
  for (i = 1; i <= NV; i++) {
    key = VP[i]
    if (V[i] ~ /^[ \t\n]*[*][*][*] Begin Patch/) patch(V[i])
    else if (key ~ /^(command|cmd|script|chars|commands[.]#[0-9]+)$/) {
      if (length(V[i]) > 200000) lost("it is too long")
      else printed(run(V[i], ""))
    }
    else if (key ~ /^(command|cmd)[.]#[0-9]+$/) words = words V[i] SEP
    else if (!isShell && key ~ /([Pp]ath|[Ff]ile|[Dd]ir|[Nn]otebook|[Uu]ri|[Ff]iles|[Pp]aths|include|glob)s?([.]#[0-9]+)?$/) fileOf(V[i])
    else if (!isShell && key == "pattern" && TOOL ~ /[Gg]lob|list/) fileOf(V[i])
  }
  if (words != "") execute(words, "")
}

# What the agent would get to read.
function printed(out) { if (index(out, T) || (index(out, E) && "INSTAR_TOKEN" in ENVIRON)) judge("printenv INSTAR_TOKEN @token") }

# What could be written so that the guard takes for ever is forbidden; of a script of others the rest is left.
function lost(why) {
  if (FOREIGN) ENOUGH = 1
  else finish(10, BLOCKED == "" ? "too-complex" : BLOCKED, BLOCKED == "" ? "It cannot be judged: " why ". Write it more simply" : WHY, WHAT)
}

function fileOf(path) {
  sub(/^file:\/\//, "", path)
  if (TOOL ~ /[Gg]rep|[Ss]earch/) judgeWords("grep" SEP "-r" SEP "x" SEP path SEP, "")
  judgeWords((TOOL ~ /[Ww]rite|[Ee]dit|[Rr]eplace|[Pp]atch|[Cc]reate|[Dd]elete|[Mm]ove/ ? ">" : "<") SEP path SEP, "")
}

function patch(said,   n, A, i) {
  n = split(said, A, "\n")
  for (i = 1; i <= n; i++) if (sub(/^[*][*][*] (Update File|Add File|Delete File|Move to): /, "", A[i])) judgeWords(">" SEP A[i] SEP, "")
}

# What was judged goes into the session's record without what looks like a secret.
function finish(code, rule, why, what,   shown) {
  shown = what
  gsub(/[\001-\037]/, "?", shown)
  sub(/( @(root|home|project|forced|protected|deleting|unknown|secret|guard|device|state|token|environ|all|deletes))+$/, "", shown)
  gsub(/:\/\/[^@ \/]*@/, "://***@", shown)
  while (match(shown, /([Tt]oken|[Ss]ecret|[Pp]assw|[Kk]ey|[Aa]uth|TOKEN|SECRET|PASSW|KEY|Bearer)[A-Za-z]*[=:_ ]+[^ *][^ ]*/)) shown = substr(shown, 1, RSTART - 1) "***" substr(shown, RSTART + RLENGTH)
  gsub(/[A-Za-z0-9_+=-][A-Za-z0-9_+=-][A-Za-z0-9_+=-][A-Za-z0-9_+=-][A-Za-z0-9_+=-][A-Za-z0-9_+=-][A-Za-z0-9_+=-][A-Za-z0-9_+=-][A-Za-z0-9_+=-][A-Za-z0-9_+=-][A-Za-z0-9_+=-][A-Za-z0-9_+=-][A-Za-z0-9_+=-][A-Za-z0-9_+=-][A-Za-z0-9_+=-][A-Za-z0-9_+=-][A-Za-z0-9_+=-][A-Za-z0-9_+=-][A-Za-z0-9_+=-][A-Za-z0-9_+=-]+/, "***", shown)
  if (length(shown) > 160) shown = substr(shown, 1, 157) "..."
  if (UNSET != "" && code == 10 && rule ~ /^rm-/) why = why ". The variable " UNSET " is not set here: " "$" "{" UNSET ":?} would stop when it is empty"
  print "{\"rule\":" quoted(rule) ",\"why\":" quoted(why) ",\"tool\":" quoted(substr(TOOL, 1, 60)) (shown == "" ? "" : ",\"command\":" quoted(shown)) "}"
  if (code == 10) print "Instar's guard forbids this (" rule (shown == "" ? "" : ": " shown) "). " why "."
  exit code
}
`
