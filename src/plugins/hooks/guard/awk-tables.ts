/** Names that the guard knows, and its marks for what is not known. */
export const tables = String.raw`
function names(list, T, by,   n, A, i) {
  n = split(list, A, " ")
  for (i = 1; i <= n; i++) T[A[i]] = by
}

# "name:letters": the options of it that take the next word.
function prefixes(list,   n, A, i, k) {
  n = split(list, A, " ")
  for (i = 1; i <= n; i++) {
    k = index(A[i], ":")
    if (k) PREFIX[substr(A[i], 1, k - 1)] = substr(A[i], k + 1)
    else PREFIX[A[i]] = ""
  }
}

function setUp() {
  U = "\001"; F = "\002"; H = "\003"; N = "\004"; E = "\005"; T = "\006"; P_ALL = "\007"
  FIELD = "\034"; ALT = "\035"; SEP = "\036"
  BT = "\140"
  NEW = "what is run is not there before the command is"
  names("( { [[ if while until for select case", OPENS, 1)
  names("then do else elif fi done esac } ;;", CLOSES, 1)
  prefixes("sudo:ugpCrtTDhU doas:uC env:uC command: builtin: exec:a nohup: time:fo timeout:ks nice:n ionice:cnpPu chrt:TPD taskset: setsid: stdbuf:ioe")
  prefixes("chroot: strace:eopsuEPaOSI ltrace:eopsu busybox: toybox: xvfb-run:ensp caffeinate:tw fakeroot: dbus-run-session: unbuffer: setpriv: gosu: su-exec:")
  prefixes("systemd-run:pEuHM watch:n cpulimit:lpe flock:wE noglob: nocorrect: coproc: proxychains4: proxychains: torsocks: catchsegv: eatmydata: chronic: gdate: rlwrap: unshare:SGR screen:Schpst dumb-init: tini: pkexec: run0:ugD setarch: linux32: linux64: i386: x86_64: uname26: prlimit: numactl:NmCip firejail: daemonize:cpou ld-linux: chpst:ueUnlb nsenter:tSG sshpass:pfdeP valgrind: heaptrack: wsl:du shx: proot:rbwq fakechroot:")
  names("sh bash dash zsh ksh ash mksh fish csh tcsh rbash yash", SHELL, 1)
  names("psql mysql mariadb sqlite3 sqlite sqlcmd mycli pgcli litecli clickhouse-client clickhouse cqlsh duckdb cockroach usql snowsql bq trino hive beeline mysqlsh sqlplus isql influx", CLIENT, "sql")
  names("mongosh mongo", CLIENT, "js")
  names("redis-cli valkey-cli keydb-cli", CLIENT, "redis")
  names("python ruby perl php node nodejs lua deno bun tsx ts-node pwsh powershell", INTERPRETER, "^(-[a-zA-Z]*[cerEpn]|--eval|--print|eval|-[Cc]ommand)$")
  INTERPRETER["python"] = "^-[a-zA-Z]*c$"
  INTERPRETER["php"] = "^-(r|B|R|E)$"
  INTERPRETER["perl"] = INTERPRETER["ruby"] = "^-[a-zA-Z0-9]*[eE]$"
  INTERPRETER["node"] = INTERPRETER["nodejs"] = INTERPRETER["bun"] = INTERPRETER["tsx"] = INTERPRETER["ts-node"] = "^(-e|-p|-pe|--eval|--print)$"
  INTERPRETER["deno"] = "^eval$"
  names("awk gawk mawk nawk", INTERPRETER, "^-e$")
  names("sed gsed", INTERPRETER, "^(-[a-zA-Z]*e|--expression)$")
  names("su runuser script nix-shell vagrant fly flyctl gcloud expect sg heroku xterm gnome-terminal osascript vim vi nvim emacs ex gdb nodemon fd fdfind hyperfine concurrently ansible pdsh pssh clush salt watchexec entr perf start-stop-daemon tar ssh autossh mosh docker podman nerdctl docker-compose kubectl oc k3s crictl lxc incus multipass npx bunx uvx pipx npm yarn pnpm bundle poetry uv pipenv pdm rye hatch conda mise direnv doppler op dotenv asdf", CARRIER, 1)
  names("curl wget fetch aria2c lynx w3m links http https xh httpie nc ncat netcat socat ftp tftp gh", FETCHER, 1)
  names("cat tac tee base64 base32 xxd openssl uudecode gunzip zcat bzcat xzcat zstdcat rev tr gzip xz bzip2 zstd head tail sort uniq grep egrep fgrep rg pv sponge nl column fold cut less more jq iconv strings", FILTER, 1)
  names("echo printf", QUIET, 1)
  names("grep egrep fgrep rg ag sed gsed awk gawk mawk nawk perl jq", PATTERN_FIRST, 1)
  names("ssh-agent direnv brew pyenv rbenv nodenv fnm mise starship dircolors conda opam zoxide rustup asdf lesspipe resize docker-machine minikube luarocks keychain", WRITES_SETTINGS, 1)
  names("/ /bin /boot /dev /etc /home /lib /lib32 /lib64 /libx32 /media /mnt /opt /proc /run /sbin /srv /sys /tmp /usr /var /snap /nix /nix/store", ROOT, 1)
  names("/usr/bin /usr/lib /usr/lib64 /usr/libexec /usr/sbin /usr/local /usr/local/bin /usr/local/lib /usr/share /usr/include", ROOT, 1)
  names("/var/lib /var/log /var/spool /var/mail /var/www /var/db /var/backups /var/run /var/lib/mysql /var/lib/postgresql /var/lib/docker /var/lib/dpkg /var/lib/mongodb /var/lib/redis /var/lib/rpm /var/lib/containerd /var/lib/kubelet /var/lib/etcd", ROOT, 1)
  names("/etc/ssh /etc/ssl /etc/systemd /etc/pam.d /etc/apt /etc/passwd /etc/shadow /etc/sudoers /etc/fstab /etc/kubernetes /boot/efi /boot/grub", ROOT, 1)
  names("/Users /System /Library /Applications /Volumes /private /private/etc /private/var /private/tmp /cores /opt/homebrew", ROOT, 1)
  REMOVER = "(rmtree|rm_rf|rm_r|rmSync|rmdirSync|rimraf|rimraf[.]sync|removeSync|emptyDirSync|remove_tree|remove_dir_all|RemoveAll|remove_entry_secure|fs[.]rm|promises[.]rm|os[.]remove|os[.]unlink|unlinkSync|unlink)[( ]+"
  WRAPPER = "^((await|new) +|(list|sorted|reversed|set|tuple|str|((os|posix)?[.]?path[.]|File[.])?(expanduser|expand_path|abspath|realpath|normpath|resolve|join)|(pathlib[.])?Path|Pathname([.]new)?|(os[.])?(listdir|scandir|walk)|(fs[.])?(readdirSync|readdir)|(glob[.])?i?glob(Sync|[.]sync)?|Dir[.](glob|children|entries|each_child))[(] *)"
  HOME_IN_CODE = "^((pathlib[.])?Path[.]home[(][)]|os[.]environ([.]get[(]|\\[).HOME.[])]|os[.]getenv[(].HOME.[)]|process[.]env[.]HOME|(os|require[(].(node:)?os.[)])[.]homedir[(][)]|homedir[(][)]|Dir[.]home|ENV\\[.HOME.\\]|[$]ENV[{].?HOME.?[}])"
  CWD_IN_CODE = "^((pathlib[.])?Path[.]cwd[(][)]|(os[.])?getcwd[(][)]|process[.]cwd[(][)]|Dir[.]pwd|cwd[(][)])"
  PERSONAL = "^([.]ssh|[.]gnupg|[.]aws|[.]config|[.]kube|[.]local|[.]local/share|[.]password-store|Documents|Desktop|Downloads|Pictures|Music|Movies|Videos|Library|Dropbox|OneDrive)$"
}
`
