import { mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Finding } from '../src/plugins/backends/doctor.ts'
import { cli } from './support/cli.ts'
import { shellBlocks } from './support/project.ts'
import { openSshd, type Sshd } from './support/sshd.ts'

let project: string
let sshd: Sshd
let kept: string

beforeAll(async () => {
  project = await realpath(await mkdtemp(join(tmpdir(), 'instar-doctor-test-')))
  kept = await realpath(await mkdtemp(join(tmpdir(), 'instar-doctor-kept-')))
  sshd = await openSshd({ server: [`SetEnv XDG_STATE_HOME=${kept}`] })
})
afterAll(async () => {
  await sshd?.close()
  for (const directory of [project, kept]) await rm(directory, { recursive: true, force: true })
})

async function doctor(...args: string[]): Promise<{ exitCode: number | undefined; text: string; findings: Record<string, Finding[]> }> {
  const { exitCode, stdout, stderr } = await execa(process.execPath, [cli, 'doctor', ...args, '--dir', project], {
    reject: false,
  })
  const json = stdout.startsWith('[') ? (JSON.parse(stdout) as { backend: string; findings: Finding[] }[]) : []
  return { exitCode, text: stdout + stderr, findings: Object.fromEntries(json.map(({ backend, findings }) => [backend, findings])) }
}

describe('instar doctor', () => {
  it('says what there is on another machine and what is missing, and leaves nothing there', async () => {
    const { exitCode, findings } = await doctor('ssh:far', '--ssh-config', sshd.config, '--json')
    expect(exitCode).toBe(0)
    const all = findings['ssh:far']!
    expect(all[0]).toEqual({ what: 'sessions', ok: true, needed: true, detail: expect.stringMatching(/^tmux \d/) })
    expect(all.map(({ what }) => what)).toEqual(['sessions', 'ps', 'tar', 'git', 'claude', 'codex', 'gemini', 'opencode'])
    expect(all.find(({ what }) => what === 'ps')).toMatchObject({ ok: true, detail: expect.stringMatching(/^\/.*ps$/) })
    for (const { ok, detail } of all) if (!ok) expect(detail).toMatch(/install/)
    expect(await readdir(join(kept, 'instar'))).toEqual([])
  })

  it('says why it cannot be reached, and what to do', async () => {
    await writeFile(join(project, 'known_hosts'), '')
    const config = join(project, 'ssh_config')
    await writeFile(config, `UserKnownHostsFile ${join(project, 'known_hosts')}\nInclude ${sshd.config}\n`)
    const { exitCode, text } = await doctor('ssh:far', '--ssh-config', config)
    expect(exitCode).toBe(1)
    expect(text).toMatch(/^ssh:far\nMISSING {2}sessions {2}far: its host key is not known yet: connect once by hand/)
  })

  it('looks at the backends of the config, each for itself', async () => {
    const { pathname } = new URL('../src/index.ts', import.meta.url)
    await writeFile(
      join(project, 'instar.config.ts'),
      `import { ssh, tmux } from '${pathname}'
       export default { backends: { local: tmux(), old: tmux({ program: '/nonexistent/tmux' }), far: ssh({ host: 'far', config: '${sshd.config}', options: ['Port=1'] }) } }`,
    )
    const { exitCode, findings } = await doctor('--json')
    expect(exitCode).toBe(1)
    expect(Object.entries(findings).map(([name, [first]]) => [name, first!.ok, first!.detail])).toEqual([
      ['local', true, expect.stringMatching(/^tmux/)],
      ['old', false, expect.stringContaining('install')],
      ['far', false, expect.stringContaining('connection refused')],
    ])
    expect(Object.keys((await doctor('local', '--json')).findings)).toEqual(['local'])
  })

  it('does not look here for the agents that are in an image', async () => {
    const { pathname } = new URL('../src/index.ts', import.meta.url)
    await writeFile(
      join(project, 'instar.config.ts'),
      `import { docker } from '${pathname}'
       export default { backends: { box: docker({ image: 'x', host: 'unix:///nonexistent/socket' }) } }`,
    )
    const { exitCode, findings } = await doctor('--json')
    expect(exitCode).toBe(1)
    expect(findings['box']!.map(({ what }) => what)).toEqual(['sessions', 'ps', 'tar', 'git'])
  })

  it('works as docs/ssh.md says', async () => {
    const { pathname } = new URL('../src/index.ts', import.meta.url)
    await writeFile(
      join(project, 'instar.config.ts'),
      `import { ssh, tmux } from '${pathname}'
       export default { backends: { local: tmux(), box: ssh({ host: 'far', config: '${sshd.config}' }) } }`,
    )
    const blocks = shellBlocks(await readFile('docs/ssh.md', 'utf8'))
    expect(blocks).toHaveLength(1)
    const instar = `instar() { node ${cli} "$@"; }`
    const { stdout } = await execa('sh', ['-ec', [instar, ...blocks].join('\n')], { cwd: project, env: { INSTAR_DIR: project } })
    expect(stdout).toMatch(/^box\nok +sessions +tmux \d/)
  })

  it.each([
    [['nowhere'], /There is no backend "nowhere"; there is local/],
    [['ssh:-oX=y'], /host/],
  ])('knows no other: %j', async (args, reason) => {
    const { exitCode, text } = await doctor(...args)
    expect([exitCode, text]).toEqual([2, expect.stringMatching(reason)])
  })
})
