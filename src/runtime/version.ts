/** The version of this package. A constant, because there is no package.json to read where there are no files. */
export const version = '0.1.0'
