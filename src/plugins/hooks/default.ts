import type { Hook } from '../../runtime/hook.ts'
import { guard } from './guard/guard.ts'
import { identity } from './identity.ts'
import { inherit } from './inherit/inherit.ts'
import { worktree } from './worktree/worktree.ts'

/** The hooks of a server whose config says nothing of hooks. `worktree` does something only when a spawn asks for it. */
export const defaultHooks = (): Hook[] => [inherit(), identity(), guard(), worktree()]
