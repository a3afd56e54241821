/** What several rules are about. */
export const words = (text: string): readonly string[] => text.split(' ')

export const interpreters = words('python ruby perl php node deno bun lua pwsh powershell awk gawk mawk osascript')

/** The word for all below a directory. */
export const recursive = ' (-[a-zA-Z]*[rR][a-zA-Z]*|--r[a-z]*)( |$)'
