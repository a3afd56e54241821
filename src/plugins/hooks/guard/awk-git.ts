/** git: what it runs, and which branches it changes. */
export const git = String.raw`
# git without its own options; what is pushed where is told as facts.
function git(a, n, args, stdin,   i, k, verb, alias, dir, old, words, facts, rest) {
  dir = CWD
  alias = ""
  for (i = 2; i <= n && a[i] ~ /^-/; i++) {
    if (a[i] == "-C") { dir = CWD; changeTo(a[++i]); k = CWD; CWD = dir; dir = k }
    else if (a[i] == "-c") {
      k = index(a[++i], "=")
      if (a[i] ~ /^alias\./) alias = substr(a[i], 7)
      else if (a[i] ~ /^[a-z.]*([Pp]ager|[Ee]ditor|[Cc]ommand|external|cmd)=/) run(substr(a[i], k + 1), "")
      else configured(substr(a[i], 1, k - 1), substr(a[i], k + 1))
    }
    else if (a[i] ~ /^--(git-dir|work-tree|namespace|exec-path|config-env|super-prefix)$/) i++
  }
  verb = a[i]
  rest = drop(args, i)
  if (alias != "" && index(alias, verb "=") == 1) {
    alias = substr(alias, length(verb) + 2)
    if (substr(alias, 1, 1) == "!") return run(substr(alias, 2) " " join(rest, " "), stdin)
    return run("git " alias " " join(rest, " "), stdin)
  }
  if (verb in ALIAS_OF_GIT) return run((ALIAS_OF_GIT[verb] ~ /^!/ ? substr(ALIAS_OF_GIT[verb], 2) : "git " ALIAS_OF_GIT[verb]) " " join(rest, " "), stdin)
  if (verb == "config") for (k = i + 1; k < n; k++) configured(a[k], a[k + 1])
  if (verb ~ /^(bisect|submodule|rebase)$/)
    for (k = i + 1; k <= n; k++) {
      if (a[k] == "foreach") run(join(drop(args, operand(a, n, k + 1, "") - 1), " "), "")
      else if (a[k] ~ /^(-x|--exec)$/) run(join(drop(args, k), " "), "")
      else if (a[k] == "run") execute(drop(args, k), "")
      else if (a[k] ~ /^--exec=/) run(substr(a[k], 8), "")
    }
  facts = ""
  if (verb ~ /^(clone|archive)$/) BROUGHT = 1
  if (verb == "push" || verb == "send-pack") facts = pushed(a, n, i, dir)
  if (verb ~ /^(checkout|switch)$/) checkedOut(a, n, i, dir)
  if (verb ~ /^(branch|update-ref|symbolic-ref)$/) for (k = i + 1; k <= n; k++) if (isProtected(a[k])) facts = facts " @protected"
  judgeWords("git" SEP verb SEP (verb ~ /^(commit|tag|notes|log|grep|stash|merge)$/ ? "" : rest), facts)
  if (verb == "branch" && args ~ /--show-current/ || verb == "rev-parse" && args ~ /--abbrev-ref/ || verb == "symbolic-ref" && args ~ /--short/) { k = branchIn(dir); return k == "" ? U : k "\n" }
  if (verb == "rev-parse" && args ~ /--show-toplevel/) return PROJECT "\n"
  return U
}

# What a setting makes of later commands.
function configured(name, value) {
  if (name ~ /^alias[.]/) ALIAS_OF_GIT[substr(name, 7)] = value
  if (name ~ /^remote[.].*[.]push$/) PUSHES = PUSHES value SEP
  if (name ~ /^remote[.].*[.]mirror$/ && value == "true") PUSHES = PUSHES "+*" SEP
}

# Which branch is checked out then. A checkout of files changes none.
function checkedOut(a, n, i, dir,   k, name, isNew) {
  name = ""
  isNew = a[i] == "switch"
  for (k = i + 1; k <= n; k++) {
    if (a[k] == "--") { if (k < n) return; break }
    if (a[k] ~ /^(-[a-zA-Z]*[bBcC]|--(create|force-create|orphan))$/) { name = a[k + 1]; isNew = 1; break }
    if (a[k] == "-" || a[k] == "@{-1}") { name = U; break }
    if (a[k] ~ /^-/) continue
    if (name != "") return
    name = a[k]
    if (a[k - 1] ~ /^(-t|--track.*)$/) sub(/^[^\/]*\//, "", name)
  }
  if (name != "" && (isNew || !isThere(name, dir))) BRANCH[repository(dir)] = name
}

function isThere(path, dir,   cwd) {
  cwd = CWD
  CWD = dir
  path = absolute(path)
  CWD = cwd
  return path == dir || exists(path)
}

# The directory that has the .git.
function repository(dir,   d) {
  for (d = dir; d != "" && !index(d, U); sub(/\/[^\/]*$/, "", d)) if (headOf(d) != "") return d
  return dir
}

# " @forced", " @deleting", and " @protected" or " @unknown" of the branches that a push changes.
function pushed(a, n, i, dir,   k, w, facts, remote, any, forced, lease, deleting, all, ref, refs, isEnd) {
  forced = deleting = all = any = isEnd = lease = 0
  remote = refs = ""
  facts = ""
  for (k = i + 1; k <= n; k++) {
    w = a[k]
    if (!isEnd && w ~ /^-/) {
      if (w == "--") isEnd = 1
      else if (w ~ /^--f(o(r(c(e)?)?)?)?(=.*)?$/ || w ~ /^--force-w/ && ++lease || (w ~ /^-[a-zA-Z]+$/ && w ~ /f/ && w !~ /^-o/)) forced++
      else if (w ~ /^--(all|branches|mirror|prune)$/) all = 1
      else if (w ~ /^--de?l?e?t?e?$/ || w ~ /^-[a-z]*d[a-z]*$/) deleting = 1
      else if (w ~ /^(-o|--push-option|--receive-pack|--exec|--repo)$/) k++
      continue
    }
    if (remote == "") { remote = w; continue }
    if (w == "tag") { k++; any = 1; continue }
    refs = refs w SEP
  }
  if (refs == "" && !any && !all) refs = PUSHES
  for (; (k = index(refs, SEP)) > 0; refs = substr(refs, k + 1)) {
    any = 1
    ref = substr(refs, 1, k - 1)
    if (sub(/^[+]/, "", ref)) forced++
    if (ref ~ /^:./) deleting = 1
    sub(/^.*:/, "", ref)
    if (ref == "HEAD" || ref == "@") ref = branchIn(dir)
    if (ref == "" || index(ref, U)) facts = facts (mayBeProtected(ref) ? " @unknown" : "")
    else if (isProtected(ref) || ref ~ /[*]/ && ref !~ /^refs\/tags/) facts = facts " @protected"
  }
  if (!any) {
    ref = branchIn(dir)
    if (all) facts = facts " @protected"
    else if (ref == "" || index(ref, U)) facts = facts " @unknown"
    else if (isProtected(ref)) facts = facts " @protected"
  }
  # What nobody else has pushed is safe with a lease.
  if (forced && forced == lease && facts == " @unknown") {
    unsure("it is not known which branch is pushed")
    return facts
  }
  return facts (forced ? " @forced" : "") (deleting ? " @deleting" : "")
}

function isProtected(ref,   i) {
  sub(/^refs\/heads\//, "", ref)
  sub(/^heads\//, "", ref)
  for (i = 1; i <= PROTECTEDS; i++) if (ref ~ PROTECTED[i]) return 1
  return 0
}

# Whether a name that is known up to some place may be that of a protected branch.
function mayBeProtected(ref,   i, fixed, begin) {
  begin = substr(ref, 1, index(ref, U) - 1)
  sub(/^refs\/heads\//, "", begin)
  for (i = 1; i <= PROTECTEDS; i++) {
    fixed = substr(PROTECTED[i], 3)
    sub(/([.][*].*)?[)][$]$/, "", fixed)
    gsub(/[][]/, "", fixed)
    if (begin == "" || index(fixed, begin) == 1 || PROTECTED[i] ~ /[.][*]/ && index(begin, fixed) == 1) return 1
  }
  return 0
}

# The branch that is checked out; "" when that is not known.
function branchIn(dir,   line) {
  dir = repository(dir)
  if (dir in BRANCH) return BRANCH[dir]
  line = index(dir, U) ? "" : headOf(dir)
  return line == "" ? "" : sub(/^ref: refs\/heads\//, "", line) ? line : "HEAD"
}
`
