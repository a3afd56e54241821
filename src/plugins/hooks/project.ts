import * as v from 'valibot'

/** A path in a project, as a spawn may name it. */
export const path = v.pipe(
  v.string(),
  v.minLength(1, 'it must not be empty'),
  v.maxLength(1000, 'it is too long'),
  // eslint-disable-next-line no-control-regex
  v.regex(/^[^/\x00-\x1f][^\x00-\x1f]*$/, 'it must be a path in the project'),
  v.check((given) => !given.split('/').includes('..'), 'it must not lead out of the project'),
)
