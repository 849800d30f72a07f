import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  archivePurl,
  cargoPurl,
  debPurl,
  gitPurl,
  ociPurl,
} from '../../../../src/builder/attest/purl.ts';

const HEX = 'ab'.repeat(32);
const COMMIT = '12'.repeat(20);

describe('package URLs', () => {
  test.each([
    [
      debPurl({ name: 'libstdc++6', version: '12.2.0-14+deb12u1', architecture: 'amd64' }),
      'pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12',
    ],
    [
      debPurl({ name: 'zlib1g', version: '1:1.2.13.dfsg-1', architecture: 'arm64' }),
      'pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1?arch=arm64',
    ],
    [
      debPurl({ name: 'linux-image', version: '6.12.9-1~bpo12+1', architecture: 'amd64' }),
      'pkg:deb/debian/linux-image@6.12.9-1~bpo12%2B1?arch=amd64&distro=debian-12',
    ],
    [cargoPurl('sha2', '0.10.8+x'), 'pkg:cargo/sha2@0.10.8%2Bx'],
    [
      ociPurl('ghcr.io/org/app:v1', `sha256:${HEX}`),
      `pkg:oci/app@sha256:${HEX}?repository_url=ghcr.io%2Forg%2Fapp&tag=v1`,
    ],
    [
      ociPurl(`localhost:5000/app@sha256:${HEX}`, `sha256:${HEX}`),
      `pkg:oci/app@sha256:${HEX}?repository_url=localhost:5000%2Fapp`,
    ],
    [gitPurl('https://github.com/Org/Name.git', COMMIT), `pkg:github/org/name@${COMMIT}`],
    [
      gitPurl('https://git.example.com/group/tool.git', COMMIT),
      `pkg:generic/tool@${COMMIT}?vcs_url=git%2Bhttps:%2F%2Fgit.example.com%2Fgroup%2Ftool.git%40${COMMIT}`,
    ],
    [
      archivePurl('https://example.com/a%20b/root.tar.gz?x=1', HEX),
      `pkg:generic/root.tar.gz?checksum=sha256:${HEX}&download_url=https:%2F%2Fexample.com%2Fa%2520b%2Froot.tar.gz%3Fx%3D1`,
    ],
  ])('%s', (purl, expected) => {
    expect(purl).toBe(expected);
  });

  test('hold no character that would need to be encoded, whatever the names are', () => {
    const text = fc.string({ unit: 'grapheme', minLength: 1 });
    fc.assert(
      fc.property(text, text, text, (name, version, architecture) => {
        const purl = debPurl({ name, version, architecture });
        expect(purl).toMatch(/^pkg:deb\/debian\/[\w%.~:-]+@[\w%.~:-]+\?arch=[\w%.~:&=-]+$/);
      }),
    );
  });
});
