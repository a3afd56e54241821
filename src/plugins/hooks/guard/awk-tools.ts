/** Clients of databases, and programs that carry a command elsewhere. */
export const tools = String.raw`
# What a client of a database is told: its arguments with blanks in them, and its input, one statement after another.
function client(prog, a, n, args, stdin,   i, said, k, one, w) {
  judgeWords(args, "")
  said = stdin
  # A file that this command wrote.
  for (i = 2; i < n; i++) if (a[i] ~ /^(-f|--file)$/ && absolute(a[i + 1]) in FILE) said = said "\n;" FILE[absolute(a[i + 1])]
  for (i = 2; i <= n; i++) {
    w = a[i]
    if (w ~ /[ ;(]/ || a[i - 1] ~ /^(-[a-zA-Z]*[ceq]|--(command|execute|eval|query))$/) { sub(/^--(command|execute|eval|query)=/, "", w); said = said "\n;" w "\n" }
  }
  if (CLIENT[prog] == "redis") {
    while (said != "") {
      k = index(said, "\n")
      if (!k) k = length(said) + 1
      judgeWords(prog SEP fieldsOf(substr(said, 1, k - 1)), "")
      said = substr(said, k + 1)
    }
    return args ~ (SEP "--scan" SEP) && args !~ (SEP "--pattern" SEP "[^*]") || args ~ (SEP "[Kk][Ee][Yy][Ss]" SEP "[*]" SEP) ? P_ALL : U
  }
  for (one = said; match(one, /(^|\n)[ \t]*(\\!|[.]shell|[.]system|system )[^\n]*/); one = substr(one, RSTART + RLENGTH)) {
    w = substr(one, RSTART, RLENGTH)
    sub(/^\n?[ \t]*(\\!|[.]shell|[.]system|system )/, "", w)
    run(w, "")
  }
  if (CLIENT[prog] == "js") { gsub(/[ \t\n]+/, "", said); if (said != "") judge(prog " @js" said) ; return U }
  if (prog ~ /^(sqlite3?|duckdb)$/ && (index(args, ":memory:") || absolute(a[operand(a, n, 2, "")]) ~ /^\/(var\/)?tmp\/./)) return U
  statements(prog, said)
  return U
}

function statements(prog, said,   k, one) {
  if (!index(said, U) && said == "") return
  said = toupper(said)
  gsub(/\/\*![0-9]*/, " ", said)
  while (match(said, /\/\*([^*]|[*][^\/])*\*\//)) said = substr(said, 1, RSTART - 1) " " substr(said, RSTART + RLENGTH)
  gsub(/--[^\n]*/, " ", said)
  if (said !~ /EXECUTE|PREPARE/) gsub(/'[^']*'/, "''", said)
  gsub(/[ \t\n]+/, " ", said)
  while (said != "") {
    k = index(said, ";")
    if (!k) k = length(said) + 1
    one = substr(said, 1, k - 1)
    sub(/^ /, "", one)
    if (one ~ /[A-Z]/) judge(prog " @sql" " " one " ;")
    said = substr(said, k + 1)
  }
}

function fieldsOf(line) {
  gsub(/[ \t]+/, SEP, line)
  sub("^" SEP, "", line)
  return line SEP
}

# Programs that have a command run by another user, machine or container.
function carried(prog, a, n, args, stdin,   i, k, cwd, out) {
  if (prog ~ /^(heroku|fly)$/ && args ~ (SEP "(pg:psql|postgres)" SEP)) return client("psql", a, n, args, stdin)
  judgeWords(args, "")
  if (prog ~ /^(su|runuser|script|nix-shell|vagrant|fly|flyctl|gcloud|scriptreplay|expect|sg|newgrp|heroku|xterm|gnome-terminal|osascript|vim|vi|nvim|emacs|ex|ed|gdb|nodemon|fd|fdfind)$/) {
    for (i = 2; i <= n; i++) {
      if (a[i] ~ /^(-[a-z]*c|--command|--run|-C|-e|-ex|-[xX]|--exec|--exec-batch)$/ && i < n) {
        out = a[i + 1]
        if (prog ~ /^fd/) execute(drop(args, i) fdFinds(a, i) SEP, "")
        else if (prog == "osascript") inCode("system", "system " out)
        else if (prog == "expect") expected(out)
        else if (prog ~ /^(n?vim?|ex)$/) { if (sub(/^:?[a-z%0-9$,. ]*!/, "", out)) scripted(out) }
        else { sub(/^shell /, "", out); scripted(out) }
      } else if (a[i] ~ /^--(command|session-command|run)=/) { out = a[i]; sub(/^[^=]*=/, "", out); scripted(out) }
      else if (prog == "heroku" && a[i] == "run") return run(join(drop(args, i), " "), stdin)
    }
    if (prog == "runuser" && args ~ (SEP "-u" SEP) && (i = operand(a, n, 2, "ugGw")) <= n) return execute(drop(args, i - 1), stdin)
    if (prog == "expect" && n < 3) expected(stdin)
    if (prog ~ /^(su|runuser)$/ && stdin != "" && n < 4) return scripted(stdin)
    return U
  }
  if (prog == "perf") return execute(drop(args, operand(a, n, 3, "eoprCtIDGMxFcmu --event --output --pid --repeat") - 1), stdin)
  if (prog == "start-stop-daemon") {
    out = ""
    for (i = 2; i < n && a[i] != "--"; i++) if (a[i] ~ /^(-[a-zA-Z]*[xa]|--exec|--startas)$/) out = a[i + 1]
    return out == "" ? "" : execute(out SEP (a[i] == "--" ? drop(args, i) : ""), "")
  }
  if (prog ~ /^(hyperfine|concurrently|ansible|pdsh|pssh|clush|salt|watchexec|entr)$/) { for (i = 2; i <= n; i++) if (index(a[i], " ")) run(a[i], ""); return U }
  if (prog == "tar") {
    for (i = 2; i <= n; i++) if (match(a[i], /^--(checkpoint-action=exec|to-command|use-compress-program|info-script)=/)) run(substr(a[i], RLENGTH + 1), stdin)
    if (args ~ (SEP "(-?[a-zA-Z]*x|--extract)")) BROUGHT = 1
    return index(stdin, F) ? F : U
  }
  cwd = CWD
  if (prog ~ /^(ssh|autossh|mosh)$/) {
    for (i = 2; i <= n; i++) if (match(a[i], /^(-o)?(Proxy|Local|Remote)Command[= ]/)) run(substr(a[i], RLENGTH + 1), "")
    for (i = operand(a, n, 2, "bcDEeFIiJLlmOopQRSWw"); i <= n && a[i] ~ /^-/; i++) ;
    i = operand(a, n, i + 1, "bcDEeFIiJLlmOopQRSWw")
    CWD = HOME
    if (i <= n) out = run(join(drop(args, i - 1), " "), stdin)
    else out = stdin == "" ? "" : scripted(stdin)
    CWD = cwd
    return out
  }
  # docker exec, docker compose run, kubectl exec … --, npx, poetry run: what stands behind the name.
  for (i = 2; i <= n; i++) if (a[i] ~ /^(exec|dlx|x|shell|--)$/ || (a[i] == "run" && prog !~ /^(npm|yarn|pnpm|bun)$/)) break
  if (prog ~ /^(npx|bunx|uvx)$/ || prog == "pipx" && i > n) i = 1
  if (prog ~ /^(npx|npm)$/) for (k = 2; k <= n; k++) if (a[k] ~ /^(-c|--call)$/) return run(a[k + 1], stdin)
  if (prog ~ /^(yarn|pnpm|bun)$/ && i > n && a[2] != "run") i = 1
  if (i > n) return U
  if (prog ~ /^(docker|podman|nerdctl|docker-compose)$/) {
    for (k = i + 1; k <= n; k++) {
      if (a[k] ~ /^(-v|--volume|--mount)$/) MOUNTED = MOUNTED " " a[k + 1]
      if (a[k] ~ /^(--volume=|-v.)/) { out = a[k]; sub(/^(--volume=|-v)/, "", out); MOUNTED = MOUNTED " " out }
    }
    k = operand(a, n, i + 1, "evuwpmlhacn --env --volume --user --workdir --name --network --mount --entrypoint --publish --label --env-file --platform --memory --cpus --hostname --add-host --gpus --device --cap-add --security-opt --ulimit --tmpfs --restart --pid --ipc --shm-size --index --file --profile --project-name")
    if (k < n) inContainer(drop(args, k), stdin)
    return U
  }
  if (prog ~ /^(kubectl|oc|k3s|crictl|lxc|incus|multipass)$/) {
    for (k = i; k <= n; k++) if (a[k] == "--") { inContainer(drop(args, k), stdin); return U }
    return U
  }
  k = operand(a, n, i + 1, "pncCw --package --env --prefix --workspace")
  if (k > n) return U
  out = a[k]
  if (prog ~ /x$/) sub(/@[0-9a-z.^~]+$/, "", out)
  return execute(out SEP drop(args, k), stdin)
}

# What fd finds: below its second word what is like the first.
function fdFinds(a, end,   k, words, chosen, start) {
  words = chosen = 0
  start = "."
  for (k = 2; k < end; k++) {
    if (a[k] ~ /^-[a-zA-Z]*[tedEcjSo]$/) { if (a[k] ~ /[eS]$/) chosen = 1; k++ }
    else if (a[k] ~ /^-/) continue
    else if (++words > 1) start = a[k]
    else if (a[k] !~ /^[.*]*$/) chosen = 1
  }
  return start (chosen ? "/found" : "/**")
}

# Consoles of frameworks: code, and statements for the database.
function console(framework, verb, args, stdin) {
  if (verb ~ /^(dbshell|dbconsole|db)$/) statements("psql", stdin)
  if (verb ~ /^(shell|shell_plus|runner|console)$/) inCode(framework == "rails" ? "ruby" : "python", stdin "\n" args)
}

# What expect starts, and what it types there.
function expected(script) {
  gsub(/(^|[\n;{])[ \t]*(spawn|exec|system|send)( +-[a-z]+)*[ \t]/, "\n eval ", script)
  gsub(/\\[rn]/, "", script)
  consumed(script)
}

# A container's own files may go; those of the host that it was given may not.
function inContainer(cmd, stdin,   m, A, B, i, cwd) {
  cwd = CWD
  CWD = "/container"
  m = split(MOUNTED, A, " ")
  for (i = 1; i <= m; i++) {
    if (split(A[i], B, ":") < 2) continue
    if (placeOf(B[1]) ~ /root|home/) judgeMount(cmd, B[2])
  }
  MOUNTED = ""
  execute(cmd, stdin)
  CWD = cwd
}

function judgeMount(cmd, where,   text) {
  text = cmd
  gsub(SEP, " ", text)
  if (text ~ /(^|[\/ ;&|])(rm|shred|find|mkfs[a-z.0-9]*|dd|chmod|chown)( |$)/ && index(text, where)) judge("rm -r " where " @root")
}
`
