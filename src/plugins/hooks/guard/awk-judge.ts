/** What is known of a command's words (its facts), and the rules that say what must not be. */
export const judgement = String.raw`
# The first rule that forbids a command, with its words and facts in one line.
function judge(line,   name, list, k, i, m, A) {
  if (BLOCKED != "" || DRY) return
  name = line
  sub(/ .*$/, "", name)
  judgeBy(name, line)
  if (name ~ /^mkfs[.]/) judgeBy("mkfs.*", line)
  judgeBy("*", line)
}

function judgeBy(name, line,   m, A, k, i) {
  if (BLOCKED != "" || !(name in RULES)) return
  m = split(RULES[name], A, " ")
  for (k = 1; k <= m; k++) if (breaks(A[k], line) && !allowed(line)) { BLOCKED = ID[RULE[A[k]]]; WHY = REASON[RULE[A[k]]]; WHAT = line; return }
}

function breaks(i, line,   k) {
  for (k = 1; k <= ALLS[i]; k++) if (line !~ ALL[i, k]) return 0
  for (k = 1; k <= UNLESSES[i]; k++) if (line ~ UNLESS[i, k]) return 0
  return 1
}

function allowed(line,   k) {
  sub(/( @[^ ]*)*$/, "", line)
  for (k = 1; k <= ALLOWS; k++) if (line ~ ALLOW[k]) return 1
  return 0
}

function unsure(why) { if (!FOREIGN && UNSURE == "") UNSURE = why }

# A command with its words, and what is known of them.
function judgeWords(args, facts,   a, n, i, line, prog, w) {
  n = split(args, a, "[" SEP "]") - 1
  prog = a[1]
  sub(/^.*[\/\\]/, "", prog)
  if (prog ~ /[*?[]/) prog = meant(prog)
  judgeAs(prog, a, n, facts)
}

function judgeAs(prog, a, n, facts,   i, line, w, hasRules, isText, key, form, first, target) {
  hasRules = prog in RULES || prog ~ /^mkfs/
  isText = prog in QUIET
  # rsync removes where it writes.
  for (target = prog == "rsync" ? n : 0; target > 1 && (a[target] ~ /^-/ || isChoice(prog, a[target - 1])); ) target--
  first = prog in PATTERN_FIRST ? operand(a, n, 2, "") : 0
  line = prog
  for (i = 2; i <= n; i++) {
    w = a[i]
    if (index(w, P_ALL)) facts = facts " @all"
    if (index(w, T)) facts = facts tokenFact(prog, a, n, w)
    form = w
    gsub(/[ \t\n]+/, "_", form)
    if (substr(form, 1, 1) == "@") form = "\\" form
    line = line " " form
    if (isText || length(w) > 2000 || i == first || isChoice(prog, a[i - 1])) continue
    key = ""
    if (w ~ /^[-A-Za-z]+=/) { key = substr(w, 1, index(w, "=")); w = substr(w, length(key) + 1); sub(/^-*/, "", key) }
    else if (w ~ /^-/) continue
    sub(/^@/, "", w)
    if (w == "" || w ~ /\n/) continue
    if (hasRules && (!target || i == target)) facts = facts pathFacts(w, key)
    facts = facts secretFact(w, key)
  }
  if (facts ~ / @unknown/ && prog == "rm" && line ~ / -[a-zA-Z]*[rR]/) unsure("what would be removed is not known")
  judge(line facts)
}

# Whether the word behind an option is a pattern of files, or what is left out.
function isChoice(prog, option) {
  return prog == "find" ? option ~ /^-i?(name|path|wholename|regex)$/ : option ~ /^--exclude[a-z-]*$/ || prog == "zip" && option == "-x"
}

function absolute(path,   n, A, i, out, depth) {
  if (path ~ /^([A-Za-z]:([\/\\]|$)|[\001-\007])/) return path
  if (substr(path, 1, 1) != "/") path = CWD "/" path
  if (path !~ /\/\.|\/\/|\/$|^\/proc/) return path
  n = split(path, A, "[/]")
  depth = 0
  for (i = 1; i <= n; i++) {
    if (A[i] == "" || A[i] == ".") continue
    if (A[i] == "..") { if (depth) depth--; continue }
    A[++depth] = A[i]
  }
  out = ""
  for (i = 1; i <= depth; i++) out = out "/" A[i]
  if (sub(/^\/proc\/(self|[0-9]+|thread-self)\/root/, "", out)) return out == "" ? "/" : out
  if (match(out, /^\/proc\/(self|[0-9]+)\/cwd/)) return CWD substr(out, RLENGTH + 1)
  return out == "" ? "/" : out
}

# " @root" and the like of a path, with what stands before it in its word.
function pathFacts(w, key,   p, whole, kind) {
  if (w ~ /^\/dev\// && w !~ /^\/dev\/(null|zero|full|u?random|tty|stdin|stdout|stderr|fd|shm|pts|loop|ram|zram|log|tcp|udp)/) return " @" key "device"
  if (w ~ /^(\\\\[.]\\PhysicalDrive|[\/][\/][.][\/]PhysicalDrive)/) return " @" key "device"
  kind = placeOf(w)
  return kind == "" ? "" : " @" key kind
}

# root: the system's; home: a person's; project: what the session works on, or what is above it; unknown.
function placeOf(w,   p, contents, i) {
  p = absolute(w)
  contents = 0
  while (sub("/([*][*]?|[!][(][^/]*[)]|[.][*]|[.][?][?]|[.][?][*]|[.][?][?][*]|[.]\\[[^]]*\\]|[.]\\[[^]]*\\][*]|[*][.][*]|" U "|" U "[*])$", "", p)) contents = 1
  if (p == "") p = "/"
  if (p ~ /^[A-Za-z]:[\/\\]*([*][.]?[*]?)?$/) return "root"
  if (p ~ ("^[" U F H P_ALL "](/[.]*)*$")) return "unknown"
  if (index(p, N) == 1) return ""
  if (contents && p ~ /^\/(tmp|var\/tmp|mnt|media|run)$/) return ""
  if (p ~ /^\/(mnt\/[a-z]|[a-zA-Z]|cygdrive\/[a-z]|Volumes\/[^\/]+|media\/[^\/]+(\/[^\/]+)?)$/ && p !~ /[*]/) return "root"
  if (p == HOME || p == "/root" || p ~ /^\/(home|Users)\/[^\/]+$/) return p == PROJECT ? "project" : "home"
  w = index(p, HOME "/") == 1 ? substr(p, length(HOME) + 2) : p
  sub(/^\/((home|Users)\/[^\/]+|root)\//, "", w)
  if (w ~ PERSONAL) return "home"
  if ((isIn(PROJECT, p) || (LAUNCH ~ /^\// && isIn(LAUNCH, p))) && !(p in ROOT)) return "project"
  if (p == PROJECT "/.git" || (index(p, PROJECT "/.git/") == 1 && p ~ /\.git\/(objects|refs)$/)) return "project"
  if (p in ROOT) return "root"
  if (p ~ /[*?[]/) {
    w = "^" glob(p) "$"
    if (p ~ /\/[.][^\/]*$/ && PROJECT "/.git" ~ w) return "project"
    if (p ~ /^\/[^\/]*$/ || p ~ /^\/(usr|etc|var|home|Users|root)/ || p ~ /^\/[^\/]*[*?[]/) for (i in ROOT) if (i ~ w) return "root"
    if (HOME ~ w) return "home"
  }
  return ""
}

# Whether a path is, or is in, a directory.
function isIn(path, directory) { return path == directory || directory == "/" || index(path, directory "/") == 1 }

# " @secret" of a word that names what holds Instar's token, and " @guard" of the session's own directory.
function secretFact(w, key,   p, g) {
  if (w !~ /[.]?i|[*?[]|environ|command|[.]sh|\001|[.]awk|proc|\.\./ && CWD !~ /\/\.instar(\/|$)/ && !isIn(CWD, DIRECTORY)) return ""
  p = absolute(w)
  if (p ~ /^\/proc\/[^\/]*\/(task\/[^\/]*\/)?environ$/) return " @" key "environ"
  if (isIn(p, DIRECTORY)) return p ~ /\/(command|settings[.]json)?$/ && p !~ /settings/ ? " @" key "secret @" key "guard" : " @" key "guard"
  if (p ~ /\/\.instar\/config\.json/) return TOKEN_OK ? "" : " @" key "secret"
  if (p ~ ("/[.]instar/[^/]*" U)) return " @" key "secret"
  if (p ~ /\/\.instar$/) return " @" key "state"
  if (p ~ /[*?[]/ && p ~ /\/[.*?[][^\/]*\/[^\/]*$/) {
    g = p
    sub(/^.*\/[^\/]*\//, "", g)
    sub("/" "[^/]*$", "", p)
    sub(/^.*\//, "", p)
    if (substr(p, 1, 1) !~ /[*?]/ && ".instar" ~ ("^" glob(p) "$") && "config.json" ~ ("^" glob(g) "$")) return TOKEN_OK ? "" : " @" key "secret"
  }
  return ""
}

# A request to the server itself may carry the token; nothing else may show it.
function tokenFact(prog, a, n, w,   i, count) {
  if (prog ~ /^(test|\[|\[\[|instar|:|true|export|unset|read|local|declare)$/) return ""
  if (TRACED || prog !~ /^(curl|wget|http|https|xh)$/ || w !~ ("^(-H|--header=)?[Aa]uthorization: *Bearer " T "$")) return " @token"
  count = 0
  for (i = 2; i <= n; i++) {
    # Through others, or where it is shown.
    if (a[i] ~ /^(-x.*|-[a-zA-Z]*[vx]|--(proxy|preproxy|socks|connect-to|resolve|verbose|trace|debug|dump-header).*)$/) return " @token"
    if (a[i] ~ /^(-[a-zA-Z]*[HdoXAeF]|--(header|data|json|output|request|user-agent|form)[a-z-]*)$/) { i++; continue }
    if (isOwnServer(a[i])) count++
    else if (a[i] ~ /:\/\//) return " @token"
  }
  return count ? "" : " @token"
}

function isOwnServer(w,   url) {
  if (w ~ /^((https?|wss?):\/\/)?(localhost|127\.[0-9.]*|\[::1\])(:[0-9]+)?([\/?]|$)/) return 1
  url = ENVIRON["INSTAR_URL"]
  if (url == "") return w ~ /^\//
  return index(w, url) == 1 && substr(w, length(url) + 1) ~ /^([\/?]|$)/
}
`
