import type { GuardRule } from './rules.ts'
import { interpreters, recursive } from './rules-words.ts'

const remove =
  '(rmtree|rm_rf|rm_r|rmSync|rmdirSync|rimraf|removeSync|emptyDirSync|remove_tree|remove_dir_all|RemoveAll|remove_entry_secure|fs[.]rm|promises[.]rm)'

/** Files, disks and the history of a repository. */
export const fileRules: readonly GuardRule[] = [
  {
    id: 'rm-root',
    why: 'It would remove directories of the system. Name the files below that are meant',
    when: [
      { programs: ['rm', 'shred', 'srm'], all: [' @root( |$)'] },
      { programs: ['find'], all: [' @deletes', ' @root( |$)'] },
      { programs: ['tar'], all: [' --remove-files( |$)', ' @(root|home|project)( |$)'] },
      { programs: ['rsync'], all: [' --del[a-z-]*( |$)', ' @root( |$)'] },
      { programs: ['mv'], all: ['^mv( -[^ ]*)* (/|/[*]|/(etc|usr|bin|lib|boot|var|home|dev|sbin|root|opt|srv)/?[*]?) '] },
      {
        programs: interpreters,
        all: [` @code .*${remove}[( ]+["'](/[*]?|/(etc|usr|var|home|bin|lib|boot|opt|root|srv|dev|sbin)/?[*]?)["']`],
      },
    ],
    example: [
      'rm -rf /',
      'sudo rm -fr /*',
      'D=/etc; rm -r "$D"',
      'find / -name "*.log" -delete',
      'python3 -c "import shutil; shutil.rmtree(\'/\')"',
    ],
    harmless: ['rm -rf ./node_modules', 'rm -rf /tmp/x', 'find . -name "*.pyc" -delete', 'grep -r "rm -rf /" .'],
  },
  {
    id: 'rm-home',
    why: 'It would remove a home directory, or what a person keeps in it. Name the files below that are meant',
    when: [
      { programs: ['rm', 'shred', 'srm'], all: [' @home( |$)'] },
      { programs: ['find'], all: [' @deletes', ' @home( |$)'] },
      { programs: ['rsync'], all: [' --del[a-z-]*( |$)', ' @home( |$)'] },
      { programs: ['mv'], all: [' @home', ' /dev/null( |$)'] },
      { programs: ['mv'], all: ['^mv( -[^ ]*)* (/(home|Users)/[^/ ]+|/root)/?[*]? [^@]'] },
      {
        programs: interpreters,
        all: [
          ` @code .*${remove}[( ]+((os[.]path[.])?expanduser[(]["']~/?["'][)]|(pathlib[.])?Path[.]home[(]|(os|require[(].os.[)])[.]homedir[(] *[)] *[,)]|Dir[.]home *[,)]|["']~/?["'])`,
        ],
      },
    ],
    example: ['rm -rf ~', 'rm -rf "$HOME"/*', 'rm -rf ~/.ssh', 'cd && rm -rf *'],
    harmless: ['rm -rf ~/project/dist', 'rm -rf ~/.cache/pip', 'rm -rf "~"'],
  },
  {
    id: 'rm-project',
    why: 'It would remove the whole project, a directory above it, or its repository. Name the files that are meant',
    when: [
      { programs: ['rm', 'srm'], all: [recursive, ' @project( |$)'] },
      { programs: ['find'], all: [' @deletes', ' @project( |$)'] },
      { programs: ['mv'], all: [' @project', ' /dev/null( |$)'] },
      { programs: interpreters, all: [` @code .*${remove}[( ]+["'][.][.]?(/[.][.])*/?["']`] },
    ],
    example: ['rm -rf ..', 'rm -rf *', 'rm -rf .git', 'find . -delete'],
    harmless: ['rm -rf ../other/dist', 'rm -rf dist/*', 'git rm -r --cached .', 'find . -type d -empty -delete'],
  },
  {
    id: 'chmod-root',
    why: 'It would change who may use the files of the whole system. Name the files that are meant',
    when: [
      { programs: ['chmod', 'chown', 'chgrp', 'setfacl'], all: [recursive, ' @root( |$)'], unless: [' /usr/local( |$)', ' /opt( |$)'] },
      { programs: ['chmod', 'chown', 'chgrp', 'setfacl'], all: [' /+[*]+( |$)'] },
    ],
    example: ['chmod -R 777 /', 'sudo chown -R me /usr'],
    harmless: ['chmod -R u+w ./dist', 'sudo chown -R me /usr/local'],
  },
  {
    id: 'force-push',
    why: 'It would rewrite or remove what others have of a protected branch, also with --force-with-lease. Push to a branch of your own',
    when: [
      { programs: ['git'], all: ['^git (push|send-pack)( |$)', ' @forced', ' @protected'] },
      { programs: ['git'], all: ['^git push( |$)', ' @deleting', ' @protected'] },
      { programs: ['git'], all: ['^git push .*--(mirror|prune)( |$)'] },
      { programs: ['gh'], all: ['^gh repo delete( |$)'] },
      { programs: ['gh'], all: ['^gh api .*(DELETE|force=true)', ' @protected'] },
    ],
    example: [
      'git push --force origin main',
      'git push origin +master',
      'git push -f origin HEAD:release/2',
      'git push --mirror',
      'git push origin :main',
    ],
    harmless: ['git push --force origin my-branch', 'git push origin main', 'git commit -m "git push --force origin main"'],
  },
  {
    id: 'force-push-unnamed',
    why: 'It is not known which branch it would rewrite. Name the branch: git push --force origin BRANCH',
    when: [{ programs: ['git'], all: ['^git (push|send-pack)( |$)', ' @forced', ' @unknown'] }],
    example: ['cd /somewhere && git push --force'],
    harmless: ['git push'],
  },
  {
    id: 'rewrite-history',
    why: 'It would rewrite the history of the repository, or remove what could bring back lost work. A person should do that',
    when: [
      {
        programs: ['git', 'git-filter-repo', 'git-filter-branch', 'bfg', 'java'],
        all: ['^(git )?(git-)?(filter-branch|filter-repo|lfs migrate import|bfg)( |$)|^java .*bfg[^ ]*[.]jar'],
        unless: [' --?(analyze|help|h|version|dry-run)( |$)'],
      },
      {
        programs: ['git'],
        all: ['^git reflog (expire|delete) .*(--all|--expire[a-z-]*=(now|all|0|[0-9.]*seconds?)|@[{])'],
        unless: [' (-n|--dry-run)( |$)'],
      },
      { programs: ['git'], all: ['^git (gc .*--prune=(now|all|0)|prune)( |$)'], unless: [' (-n|--dry-run)( |$)'] },
      { programs: ['git'], all: ['^git branch .*(-[a-zA-Z]*[fD][a-zA-Z]*|--force)( |$)', ' @protected'] },
      { programs: ['git'], all: ['^git update-ref .*-d ', ' @protected'] },
    ],
    example: ['git filter-branch --all', 'git reflog expire --expire=now --all && git gc --prune=now', 'git branch -D main'],
    harmless: ['git rebase main', 'git commit --amend', 'git gc', 'git branch -D my-branch', 'git reset --hard HEAD'],
  },
  {
    id: 'format-disk',
    why: 'It would overwrite a disk. A file as an image does the same for a test',
    when: [
      { programs: ['dd'], all: [' @of=device'] },
      {
        programs: ['>', 'truncate', 'shred', 'blkdiscard', 'newfs', 'mkfs', 'mkfs.*', 'mke2fs', 'mkswap', 'mkntfs', 'mkdosfs'],
        all: [' @device( |$)'],
      },
      { programs: ['cp', 'mv', 'install', 'tee', 'gdd', 'dcfldd', 'ddrescue'], all: [' /dev/[^ ]+( @[^ ]*)*$', '@(of=)?device'] },
      {
        programs: ['wipefs'],
        all: [' (-[a-z]*[ao][a-z]*|--all|--offset[^ ]*)( |$)', ' @device'],
        unless: [' (-[a-z]*n[a-z]*|--no-act)( |$)'],
      },
      {
        programs: ['fdisk', 'sfdisk', 'gdisk', 'sgdisk', 'cfdisk', 'parted'],
        all: [' @device'],
        unless: [' (-[lpdx]|--list[^ ]*|--dump|--print|print|unit_.*print|--version)( |$)'],
      },
      { programs: ['hdparm'], all: [' --(security-erase|trim-sector|write-sector)'] },
      { programs: ['nvme'], all: ['^nvme (format|sanitize)( |$)'] },
      { programs: ['cryptsetup'], all: [' (luksFormat|luksErase|erase|reencrypt)( |$)'] },
      { programs: ['diskutil'], all: ['^diskutil (erase|partition|reformat|zero|random|secureErase|apfs_delete|apfs delete)'] },
      { programs: ['format', 'format.com'], all: [' [a-zA-Z]:'] },
      { programs: ['badblocks'], all: [' -[a-z]*w'] },
      { programs: ['pvremove', 'vgremove', 'lvremove'] },
      { programs: ['zpool', 'zfs'], all: [' (destroy|labelclear)( |$)'] },
      { programs: ['mdadm'], all: [' --zero-superblock'] },
      {
        programs: interpreters,
        all: [` @code .*open[( ]+["'](>+|[+]<)?["' ,]*/dev/(sd|hd|vd|nvme|mmcblk|disk|rdisk)[^"']*["'] *, *["'][wra]?b?[w+a]`],
      },
    ],
    example: ['mkfs.ext4 /dev/sdb1', 'dd if=/dev/zero of=/dev/sda', 'cat image > /dev/nvme0n1', 'wipefs -a /dev/sda'],
    harmless: ['mkfs.ext4 disk.img', 'dd if=/dev/sda of=backup.img', 'fdisk -l /dev/sda', 'echo x > /dev/null', 'shred secret.txt'],
  },
]
