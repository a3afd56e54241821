/**
 * What is run where a project is carried to, in plain POSIX sh. Beside what was carried lies `.instar-carried`: the digest of
 * the archive, the id of the session it was made for, and `shared` once another session has found it.
 */
export const marker = '.instar-carried'

/** `sh -c LOOK sh PROJECT SESSION`: says what is there. */
export const look = `\
if [ -d "$1" ]; then
  [ -f "$1/${marker}" ] || { echo present; exit; }
  { read -r digest; read -r id; } <"$1/${marker}"
  [ "$id" = "$2" ] || grep -qx shared "$1/${marker}" || echo shared >>"$1/${marker}"
  echo "carried $digest"
elif [ -e "$1" ] || [ -h "$1" ]; then
  echo other
elif [ -d "$(dirname -- "$1")" ]; then
  echo missing
else
  echo missing above
fi
`

/**
 * `sh -c CARRY sh PROJECT SESSION DIGEST`: unpacks the archive on standard input beside the project, and then renames it. What
 * was carried before gets what is new of it, over what is there. Exit code 4: somebody else has made it meanwhile.
 */
export const carry = `\
set -e
umask 077
temp=$1.instar-$2
mkdir -p -- "$(dirname -- "$1")"
trap 'rm -rf -- "$temp"' EXIT
trap 'exit 1' HUP INT TERM
rm -rf -- "$temp"
mkdir -- "$temp"
(cd -- "$temp" && tar -xpof -)
if [ -f "$1/${marker}" ]; then
  { read -r digest; read -r id; } <"$1/${marker}"
  printf '%s\\n%s\\nshared\\n' "$3" "$id" >"$temp/${marker}"
  (cd -- "$temp" && tar -cf - .) | (cd -- "$1" && tar -xpof -)
  exit
fi
printf '%s\\n%s\\n' "$3" "$2" >"$temp/${marker}"
[ ! -e "$1" ] || exit 4
mv -- "$temp" "$1"
# Made meanwhile, it took ours in.
[ ! -d "$1/\${temp##*/}" ] || { rm -rf -- "$1/\${temp##*/}"; exit 4; }
`

/** `sh -c UNDO sh PROJECT SESSION ABOVE`: removes what CARRY made for this session, unless another one uses it; and with ABOVE the directory above, when it is empty. */
export const undo = `\
rm -rf -- "$1.instar-$2"
if [ -f "$1/${marker}" ]; then
  { read -r digest; read -r id; } <"$1/${marker}"
  [ "$id" = "$2" ] && ! grep -qx shared "$1/${marker}" && rm -rf -- "$1"
fi
[ -z "$3" ] || rmdir -- "$(dirname -- "$1")" 2>/dev/null
exit 0
`
