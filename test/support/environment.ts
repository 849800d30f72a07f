/**
 * What a site sets for all programs and microbuild heeds goes before any test: tests say themselves what they mean, and give the
 * same verdict on a pipeline's machine as on a desk.
 */

for (const name of ['CI', 'SOURCE_DATE_EPOCH', 'FORCE_COLOR'])
  Reflect.deleteProperty(process.env, name);
