/**
 * Keys whose private half is published: whoever signs with one signs with everybody.
 *
 * By SHA-256 of the SubjectPublicKeyInfo, with where the key was published.
 */

import type { KeyObject } from 'node:crypto';
import { toHex } from '../../core/digest.ts';
import { publicKeyDigest } from './development.ts';

const KNOWN_TEST_KEYS: ReadonlyMap<string, string> = new Map([
  [
    '51ef67ffa1004ad3c1c19cb6e45759141982c91bd182b6eb202f495ca7045d5c',
    'AOSP Virtualization apex/com.android.virt',
  ],
  [
    '6b365bc906bed702444ff32981d4bff910c9cd31823a43afb534639307939b48',
    'AOSP Virtualization apex/com.android.virt',
  ],
  [
    'd9ba99fd4521baa25c84df9701f9b2cee62e0446bb3359e8ff987a82740d9130',
    'AOSP Virtualization apex/test.com.android.virt',
  ],
  [
    '52f5b742153335533e5137a1f5c54d1b96ea3f9aa0825a6e29fb7ca3d95302d6',
    'AOSP Virtualization apex/test2.com.android.virt',
  ],
  [
    '5e09bd7d4ea3319d2a4cd07f14c2ba45f38f3a995b133bbf413fb362ed189ada',
    'AOSP Virtualization authfs/testdata/cert',
  ],
  [
    'aca8c60423234c003d9df49d7c7dbdd0b95b9c0043f6f8565cffc8ad604561d3',
    'AOSP Virtualization compos/apex/com.android.compos',
  ],
  [
    'aae7c90638945eeb11216c034d08ce6c650540fbef2ee1c59b3e6ea141b9c538',
    'AOSP Virtualization compos/apex/com.android.compos',
  ],
  [
    '25dd5edcc1e2678b6798f054f580d012f6e93f86ec333c3877d526f68c222b28',
    'AOSP Virtualization tests/benchmark/assets/benchmark',
  ],
  ['350983f5f6d385526f23c11f6509b0de3e7167de25fa2317b03da57fcbae367b', 'AOSP apksig dsa-1024'],
  ['4172f8a7607979d39fd58a235dee209213d7c0cc8987e4814aaa2d4dc47a5c32', 'AOSP apksig dsa-2048'],
  ['3d17d53ec60ef11b9f9c9fb7c3335fc2c1f655b8a8fd8e2e838449dcd7df5f0f', 'AOSP apksig dsa-3072'],
  ['8512fe4584f86ecf0b76fa2c257c7dddacad40845ce0fdec28cf66f8550227ab', 'AOSP apksig ec-p256'],
  ['2d3caa8c6b94c4837e6c700caa653453581318c79ddc58982d989abebc87467e', 'AOSP apksig ec-p256_2'],
  ['0ddfed487f485f5361736634ad0f73d83560a221487e89bdd866688d5be73a0a', 'AOSP apksig ec-p384'],
  ['94f1b034aeb789a71c451496b142e07c6923ef13f26c3a7f1be0909ea8de26f4', 'AOSP apksig ec-p521'],
  ['d1398dddb1752225beb7efcac26cc9360247a7196dc5596a9cb5c30e5a82d767', 'AOSP apksig rsa-1024'],
  ['0506c276ffd86888fe7dd1a93e4a7c92ca41b64bd7d1f74c5b238cefaa8e41f2', 'AOSP apksig rsa-1024_2'],
  ['fa3b586ee06eb7eec91287f8c20c9a7f6632022d3253860f6a06ce734d384f72', 'AOSP apksig rsa-16384'],
  ['8cabaedf32f1052f6bc5edbeb84d1c500f8c1aa15f8944bf22c46e44c5c4f7e8', 'AOSP apksig rsa-2048'],
  ['a012606d81829cac18a88dff818652ab582961c03a4ecceb1475c4fbe30d7dce', 'AOSP apksig rsa-2048_2'],
  ['0f32af18ffe7648947cbe3da403f9d93271bed3b0d2627a3696ef1308ff5b9f9', 'AOSP apksig rsa-2048_3'],
  ['e0e0589e103c47363a45e0c7a9601e895f94f4f783d6daade51c5d81b17ab50d', 'AOSP apksig rsa-3072'],
  ['92e297f0984f68b150fcd7194db7163932b9ef0e7372ff364f532f38f1044578', 'AOSP apksig rsa-4096'],
  ['ae9841ae080757c0976a3929c03f8062250660761002658595f2e2407ca948d4', 'AOSP apksig rsa-8192'],
  ['5c465203f66d5e55a381455ff1ed69403623aa5fde02d6805eabecc9a3fecd75', 'AOSP avb testkey_cert_pik'],
  ['991259d9f9f6a9a29ba41babde3a50c50078dcafbaf57040b91989a866db8289', 'AOSP avb testkey_cert_prk'],
  ['bfdebdfa61ed3fd68d6ed274e162fc170af3cb3700e41d0fd71c54db1a34a7a5', 'AOSP avb testkey_cert_psk'],
  ['000d7b990448ba4ab1f682e4166cf342ef192e1d037686010052abf3bb093c1d', 'AOSP avb testkey_cert_puk'],
  ['27f501a05553b8086eaea2ddabeb46c96b3ca30cd6ceb0d4f30e5bc0c543d507', 'AOSP avb testkey_rsa2048'],
  ['9841073d16a7abbe21059e026da71976373d8f74fdb91cc46aa0a7d622b925b9', 'AOSP avb testkey_rsa4096'],
  ['8d11ff993173d66a268020ce91ea4801a90b358ddd639dfe771204330c33da01', 'AOSP avb testkey_rsa8192'],
  [
    '18df376ce689e40b89949c0c57c44dc662ba6704dc8ba65a2c65835dd44cc990',
    'AOSP com.android.microfuchsia',
  ],
  [
    '185f06434feffc17c22a2ce88f3e5c6dbf954a003b0a9a04399f56382af228b1',
    'chenxiaolong/avbroot ORIG_KEY_DO_NOT_USE.crt',
  ],
  [
    'ed04ecd8ac0da34a3580a898b66c52651808c41889525290818dc21a90102030',
    'chenxiaolong/avbroot TEST_KEY_DO_NOT_USE.crt',
  ],
  [
    'ef57b690165cb561b5026922c00d2d6574e8b184fa7d161e076f06e06e6d35db',
    'f-droid/fdroidserver aosp_testkey_debug.keystore',
  ],
  [
    '4a4300fab9a55e609f55f170a22464151244eca263a61cf4005cb79b71ed3c28',
    'fsverity-utils testdata/cert',
  ],
  [
    '353a102774907fe76fdc2387261a21cb48d181a864ef125b74816facf0a177df',
    'patrickfav/uber-apk-signer debug.keystore',
  ],
]);

/** Where the private half of a key is published, or undefined when it is none of those known here. */
export function knownTestKey(publicKey: KeyObject): string | undefined {
  return KNOWN_TEST_KEYS.get(toHex(publicKeyDigest(publicKey)));
}

/** Whether the private half of a key is known to be published. */
export function isKnownTestKey(publicKey: KeyObject): boolean {
  return knownTestKey(publicKey) !== undefined;
}
