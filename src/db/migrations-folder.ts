/**
 * The folder of the migrations, beside `src` and beside `dist`. This module is one folder deep in
 * both: scripts/build.ts puts it into `dist/modules`.
 */
export const migrationsFolder = new URL('../../migrations/', import.meta.url);
