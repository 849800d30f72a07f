/**
 * Keys whose private half is published: whoever signs with one signs with everybody.
 *
 * Collected from the repositories that publish them; all digests were computed from the keys and
 * certificates there.
 */

export interface KnownTestKeyEntry {
  /** Where the key is published. */
  readonly name: string;
  /** SHA-256 of the SubjectPublicKeyInfo. */
  readonly publicKey: string;
  /** SHA-256 of the certificates that are published with it. */
  readonly certificates?: readonly string[];
  /** SHA-256 and SHA-1 of AVB's encoding: devices and tools print either. */
  readonly avb?: readonly string[];
}

export const KNOWN_TEST_KEYS: readonly KnownTestKeyEntry[] = [
  {
    name: 'AOSP Virtualization apex/com.android.virt',
    publicKey: '51ef67ffa1004ad3c1c19cb6e45759141982c91bd182b6eb202f495ca7045d5c',
    avb: [
      'ca339b6e842c63686b54f20c91ebfcdc950975af2191e08efb9dee96109f938a',
      '4fc1d12942dd0e17b86732fb6e7d40ad6ab6705e',
    ],
  },
  {
    name: 'AOSP Virtualization apex/com.android.virt',
    publicKey: '6b365bc906bed702444ff32981d4bff910c9cd31823a43afb534639307939b48',
    certificates: ['1ce37a0a9d002494ea013ac85ce7ade7fbfab68f6944be79e9f15db1460757ce'],
  },
  {
    name: 'AOSP Virtualization apex/test.com.android.virt',
    publicKey: 'd9ba99fd4521baa25c84df9701f9b2cee62e0446bb3359e8ff987a82740d9130',
    avb: [
      '1acfe450db4e1e7ce15745910b048921a0237c6ed8030288387996eeee35fdd0',
      '1ea52781c489a84127c876773828496ca174e27b',
    ],
  },
  {
    name: 'AOSP Virtualization apex/test2.com.android.virt',
    publicKey: '52f5b742153335533e5137a1f5c54d1b96ea3f9aa0825a6e29fb7ca3d95302d6',
    avb: [
      '25288df865489de83a01bbf65f7e5ef0cb968a09793be8a9e919e191421181df',
      'f149f9bb2b3264fd65e5637551f0dc6651bcd44c',
    ],
  },
  {
    name: 'AOSP Virtualization authfs/testdata/cert',
    publicKey: '5e09bd7d4ea3319d2a4cd07f14c2ba45f38f3a995b133bbf413fb362ed189ada',
    certificates: ['9f5e8d6aede6522f43d0f285e938849620f698172a523b70c291f0fe9364fdf5'],
  },
  {
    name: 'AOSP Virtualization compos/apex/com.android.compos',
    publicKey: 'aca8c60423234c003d9df49d7c7dbdd0b95b9c0043f6f8565cffc8ad604561d3',
    avb: [
      '670033b1be109b5ea0c3b3eeb62947dc68d417f41cfc11330c957a14d1b6a83e',
      '8ec847eed7c63ef7a1fb97db1e2b550a29214d85',
    ],
  },
  {
    name: 'AOSP Virtualization compos/apex/com.android.compos',
    publicKey: 'aae7c90638945eeb11216c034d08ce6c650540fbef2ee1c59b3e6ea141b9c538',
    certificates: ['abe90fbd47d3dc8fbf93d924c22b3a3de7b7269cf87bbfb43cf092b036eadb0f'],
  },
  {
    name: 'AOSP Virtualization tests/benchmark/assets/benchmark',
    publicKey: '25dd5edcc1e2678b6798f054f580d012f6e93f86ec333c3877d526f68c222b28',
    certificates: ['f7102b52987891ad7d8e3867ba96a085b56d99efc991e1ed7938668fbb57ca91'],
  },
  {
    name: 'AOSP apksig dsa-1024',
    publicKey: '350983f5f6d385526f23c11f6509b0de3e7167de25fa2317b03da57fcbae367b',
    certificates: ['fee7c19ff9bfb4197b3727b9fd92d95406b1bd96db99ea642f5faac019a389d7'],
  },
  {
    name: 'AOSP apksig dsa-2048',
    publicKey: '4172f8a7607979d39fd58a235dee209213d7c0cc8987e4814aaa2d4dc47a5c32',
    certificates: ['97cce0bab292c2d5afb9de90e1810b41a5d25c006a10d10982896aa12ab35a9e'],
  },
  {
    name: 'AOSP apksig dsa-3072',
    publicKey: '3d17d53ec60ef11b9f9c9fb7c3335fc2c1f655b8a8fd8e2e838449dcd7df5f0f',
    certificates: ['966a4537058d24098ea213f12d4b24e37ff5a1d8f68deb8a753374881f23e474'],
  },
  {
    name: 'AOSP apksig ec-p256',
    publicKey: '8512fe4584f86ecf0b76fa2c257c7dddacad40845ce0fdec28cf66f8550227ab',
    certificates: ['6a8b96e278e58f62cfe3584022cec1d0527fcb85a9e5d2e1694eb0405be5b599'],
  },
  {
    name: 'AOSP apksig ec-p256_2',
    publicKey: '2d3caa8c6b94c4837e6c700caa653453581318c79ddc58982d989abebc87467e',
    certificates: ['d78405f761ff6236cc9b570347a570aba0c62a129a3ac30c831c64d09ad95469'],
  },
  {
    name: 'AOSP apksig ec-p384',
    publicKey: '0ddfed487f485f5361736634ad0f73d83560a221487e89bdd866688d5be73a0a',
    certificates: ['5e7777ada7ee7ce8f9c4d1b07094876e5604617b7988b4c5d5b764a23431afbe'],
  },
  {
    name: 'AOSP apksig ec-p521',
    publicKey: '94f1b034aeb789a71c451496b142e07c6923ef13f26c3a7f1be0909ea8de26f4',
    certificates: ['69b50381d98bebcd27df6d7df8af8c8b38d0e51e9168a95ab992d1a9da6082da'],
  },
  {
    name: 'AOSP apksig rsa-1024',
    publicKey: 'd1398dddb1752225beb7efcac26cc9360247a7196dc5596a9cb5c30e5a82d767',
    certificates: ['bc5e64eab1c4b5137c0fbc5ed05850b3a148d1c41775cffa4d96eea90bdd0eb8'],
  },
  {
    name: 'AOSP apksig rsa-1024_2',
    publicKey: '0506c276ffd86888fe7dd1a93e4a7c92ca41b64bd7d1f74c5b238cefaa8e41f2',
    certificates: ['eba3685e799f59804684abebf0363e14ccb1c213e2b954a22669714ed97f61e9'],
  },
  {
    name: 'AOSP apksig rsa-16384',
    publicKey: 'fa3b586ee06eb7eec91287f8c20c9a7f6632022d3253860f6a06ce734d384f72',
    certificates: ['f3c6b37909f6df310652fbd7c55ec27d3079dcf695dc6e75e22ba7c4e1c95601'],
  },
  {
    name: 'AOSP apksig rsa-2048',
    publicKey: '8cabaedf32f1052f6bc5edbeb84d1c500f8c1aa15f8944bf22c46e44c5c4f7e8',
    certificates: ['fb5dbd3c669af9fc236c6991e6387b7f11ff0590997f22d0f5c74ff40e04fca8'],
    avb: [
      '6e7dca255657cf4f62af0ed3ec6b915fc8aeb62c4b4a3ac8cb6eff398f4ffa2a',
      'dccb6af1a29b30e3081d2f754e3a092248bb8cab',
    ],
  },
  {
    name: 'AOSP apksig rsa-2048_2',
    publicKey: 'a012606d81829cac18a88dff818652ab582961c03a4ecceb1475c4fbe30d7dce',
    certificates: ['681b0e56a796350c08647352a4db800cc44b2adc8f4c72fa350bd05d4d50264d'],
    avb: [
      '52599f15b7f592854f9ce1d539f9b3b8ffa56ed502f7725848d67e8340f13cbd',
      '8c56f7b0efffd338cb60dbe8099407d9944859af',
    ],
  },
  {
    name: 'AOSP apksig rsa-2048_3',
    publicKey: '0f32af18ffe7648947cbe3da403f9d93271bed3b0d2627a3696ef1308ff5b9f9',
    certificates: ['bb77a72efc60e66501ab75953af735874f82cfe52a70d035186a01b3482180f3'],
    avb: [
      '2e94fec2c9c75d98490a2702dde7d561c26f0a71bd1bca4da89c55e500f16b1f',
      'abbeaf145271ca973aaffea175437352c7e20aad',
    ],
  },
  {
    name: 'AOSP apksig rsa-3072',
    publicKey: 'e0e0589e103c47363a45e0c7a9601e895f94f4f783d6daade51c5d81b17ab50d',
    certificates: ['483934461229a780010bc07cd6eeb0b67025fc4fe255757abbf5c3f2ed249e89'],
  },
  {
    name: 'AOSP apksig rsa-4096',
    publicKey: '92e297f0984f68b150fcd7194db7163932b9ef0e7372ff364f532f38f1044578',
    certificates: ['6a46158f87753395a807edcc7640ac99c9125f6b6e025bdbf461ff281e64e685'],
    avb: [
      '891a354190130b60cd9e7dd15531c341fcd37879d26c7bd394a5d98084ed084e',
      '801dfb6632d4ce3f50f2a04e2f5e14616157a8f3',
    ],
  },
  {
    name: 'AOSP apksig rsa-8192',
    publicKey: 'ae9841ae080757c0976a3929c03f8062250660761002658595f2e2407ca948d4',
    certificates: ['060d0a24fea9b60d857225873f78838e081795f7ef2d1ea401262bbd75a58234'],
    avb: [
      'b1118169514c2c1986cd1d91903dc73dd49f3e557ae222270fdc7a74f66ecb62',
      '09387a7c574c79c2a2939843b48615d372629e64',
    ],
  },
  {
    name: 'AOSP avb testkey_cert_pik',
    publicKey: '5c465203f66d5e55a381455ff1ed69403623aa5fde02d6805eabecc9a3fecd75',
    avb: [
      'ce464c0fefc023760adc3fe0207c282d337e1b91e3df7ab4fee43fcd620db46d',
      '45ed5cba8dd4e2edbdd641f8690d3aabf5a10179',
    ],
  },
  {
    name: 'AOSP avb testkey_cert_prk',
    publicKey: '991259d9f9f6a9a29ba41babde3a50c50078dcafbaf57040b91989a866db8289',
    avb: [
      '86b04a9d62807fda80cbf445118e8a4a73aa5937283b49e018e432dd8e3a76a1',
      '36ef96c071f6a65e229eb7c6d7f5d51ca88064d9',
    ],
  },
  {
    name: 'AOSP avb testkey_cert_psk',
    publicKey: 'bfdebdfa61ed3fd68d6ed274e162fc170af3cb3700e41d0fd71c54db1a34a7a5',
    avb: [
      '7ec02ee1be696366f3fa91240a8ec68125c4145d698f597aa2b3464b59ca7fc3',
      '8adad1c1270df79cd3a7de181a921bcab313df20',
    ],
  },
  {
    name: 'AOSP avb testkey_cert_puk',
    publicKey: '000d7b990448ba4ab1f682e4166cf342ef192e1d037686010052abf3bb093c1d',
    avb: [
      'c608ffa5e7ee92984f4486e03088440c360cf315ec6a5f52aef790cb30efcec9',
      'dbab921742b2da3929bfac7f93d6557c9cc4fdd1',
    ],
  },
  {
    name: 'AOSP avb testkey_rsa2048',
    publicKey: '27f501a05553b8086eaea2ddabeb46c96b3ca30cd6ceb0d4f30e5bc0c543d507',
    avb: [
      '22de3994532196f61c039e90260d78a93a4c57362c7e789be928036e80b77c8c',
      'cdbb77177f731920bbe0a0f94f84d9038ae0617d',
    ],
  },
  {
    name: 'AOSP avb testkey_rsa4096',
    publicKey: '9841073d16a7abbe21059e026da71976373d8f74fdb91cc46aa0a7d622b925b9',
    avb: [
      '7728e30f50bfa5cea165f473175a08803f6a8346642b5aa10913e9d9e6defef6',
      '2597c218aae470a130f61162feaae70afd97f011',
    ],
  },
  {
    name: 'AOSP avb testkey_rsa8192',
    publicKey: '8d11ff993173d66a268020ce91ea4801a90b358ddd639dfe771204330c33da01',
    avb: [
      'e15e2365469ce672a91d02cc8d9c2f29b787481e574d3b56ac774153d7ced614',
      '5227b569de003adc7f8ec3fc03e05dfbd969abad',
    ],
  },
  {
    name: 'AOSP build bluetooth',
    publicKey: 'de5b1ddc59331bbdeee26d6467dd4f9fc09719098ba7dcb6a973045781a0e36c',
    certificates: ['a6ccc500ff0e7421200eb66a7fe174ef1b00e52ca91727070cbedf061ff76c35'],
    avb: [
      '16cf038c37c6663fbc74c540410f92de48ce9b6a0177831d6c73a949bc717397',
      'a77607b0b833c399eeb20903ee3c6a7f794cae64',
    ],
  },
  {
    name: 'AOSP build cts_uicc_2021',
    publicKey: '4d850245247af73aaf72fe598c7c7ef73f618391d771763299d5f5139ca43f2c',
    certificates: ['ce7b2b47ae2b7552c8f92cc29124279883041fb623a5f194a82c9bf15d492aa0'],
    avb: [
      'e4d54d1a30ddcba2007b3a36e3d53cb08d7dd9b5c9fd3a0af537e87bfebf903f',
      '5fd614b5e2e777db218de7100826ec77f0e03dfd',
    ],
  },
  {
    name: 'AOSP build media',
    publicKey: '091377d6fd00e4e217b750571d45cbe1a32c7fa74075138fc529fdf162b5416f',
    certificates: ['465983f7791f2abeb43ea2cbdc7f21a8260b72bc08a55c839fc1a43bc741a81e'],
  },
  {
    name: 'AOSP build networkstack',
    publicKey: '7bfcc5541e9f18e3738b1d5fa0b8524d44bac99424cfdcc6594d9386d4daaf15',
    certificates: ['e1dbadce60dc080d15b58a014b0dcf9400e24de23fa00b287a5a982bfebda2ee'],
    avb: [
      '044bf2c0da30ee94f16845c818a619f61c0b836a2b71697ccc5d67c2da387df2',
      '561c2aac57a3e097260a000a029f9d51f9510d87',
    ],
  },
  {
    name: 'AOSP build nfc',
    publicKey: '9318ca97d2c148ca94639603b68d0928068158113d23a1cfca30acc4df2cac37',
    certificates: ['fae9122a8721d6e2a196d2224dffcf773c9127e2bb956cbddb40b009192ffdfd'],
    avb: [
      '5875ecfe5a5f8d8c88662eb6efa7fc48a08dfa8f94fb9ce2652ddbf474d9ffbe',
      '5317de5f48ac291b608f0db479286a3cdbdcc0b5',
    ],
  },
  {
    name: 'AOSP build platform',
    publicKey: '3d3df7dc9bf26e02d4cd76256d41d45e41a4dedebe7feb95c40e3697681be8a7',
    certificates: ['c8a2e9bccf597c2fb6dc66bee293fc13f2fc47ec77bc6b2b0d52c11f51192ab8'],
  },
  {
    name: 'AOSP build sdk_sandbox',
    publicKey: 'd2e67bf7c0aaa67f3a4f7dc35dd2d45aa111a91e06a2cc517eaf9c249de31454',
    certificates: ['abf21f9e2af1d881cc673fddcefa6ed9c269a437bd64b279cf45844cfd589126'],
    avb: [
      '1bbf8e310f1fb2f46cbb78a02dae49a072defca60ed34c7b94297ff47b1ab352',
      '1162af79cbe64f1f4f1301a3457587aa2c183c4e',
    ],
  },
  {
    name: 'AOSP build shared',
    publicKey: '2b59625f19b7d0d143a69fb7a02d42b151480ddfe60b0572070ac24afca212a0',
    certificates: ['28bbfe4a7b97e74681dc55c2fbb6ccb8d6c74963733f6af6ae74d8c3a6e879fd'],
  },
  {
    name: 'AOSP build testkey',
    publicKey: 'ef57b690165cb561b5026922c00d2d6574e8b184fa7d161e076f06e06e6d35db',
    certificates: ['a40da80a59d170caa950cf15c18c454d47a39b26989d8b640ecd745ba71bf5dc'],
  },
  {
    name: 'AOSP com.android.microfuchsia',
    publicKey: '18df376ce689e40b89949c0c57c44dc662ba6704dc8ba65a2c65835dd44cc990',
    avb: [
      'b50b0a53034965bb6a1f4b6a8c055675b3c94bc9f713427c61f490ecdc3f9cc0',
      '946e7d1d78fd741cf56eced76ca6016c013d498b',
    ],
  },
  {
    name: 'AOSP releasetools testkey',
    publicKey: '69a8a0b88ff834f913e603ca7e709d4769034dda60a2c1a0ffec269d61217bc2',
    certificates: ['b2ccc7cd4af221536b59514f4b21e760604243729959de6a56c56a9c7ad4bc54'],
    avb: [
      '328d4ac54f0eb41d856b425a325952ae2bc75ba43bce73a554a80d39b6e55391',
      '4c7481bd7f7be08431517b5ce2161dcc94388eda',
    ],
  },
  {
    name: 'AOSP releasetools testkey_EC',
    publicKey: '0577e1ffdee7979da5bdb2367c13cdeec061d5ab1167f804f28cbac0d599eb9f',
  },
  {
    name: 'AOSP releasetools testkey_RSA4096',
    publicKey: 'ef2a95601f9c82f23ce0518990aad4b2a51ddc3bad3f7e40535df1c3d01f06cd',
    avb: [
      'c41c50cd268d3a5ca8f7cb940be57faa671c2fefb4c43b7ce1f8df53c7279ff5',
      'f3d48cec67c44ae3a6cf0188b87445de051ea315',
    ],
  },
  {
    name: 'AOSP releasetools testkey_with_passwd',
    publicKey: '052337e01e85810a288c40865544b8d4e8067782561a5d08cd6a11a95fbe006a',
    certificates: ['9c10a9909d9d351f3e6c478a8789ff5070bb093a05f003afad0bae402b566d3c'],
    avb: [
      'fa7d9354e10a29c0f39050ad4eddea2f129c7895bf3fa4fc77e80e8682b3b06b',
      '78d7c8353fa1d40ea9c80f668109439fca77163b',
    ],
  },
  {
    name: 'chenxiaolong/avbroot ORIG_KEY_DO_NOT_USE.crt',
    publicKey: '185f06434feffc17c22a2ce88f3e5c6dbf954a003b0a9a04399f56382af228b1',
    certificates: ['7880b1fbfc071209ddd4b250e45a5f4cc117b0e68268b8e0ea650ed43dd0333e'],
  },
  {
    name: 'chenxiaolong/avbroot TEST_KEY_DO_NOT_USE.crt',
    publicKey: 'ed04ecd8ac0da34a3580a898b66c52651808c41889525290818dc21a90102030',
    certificates: ['0d6a56b8ef15737cfe7ed425ce3c761373c2a0b6f7be4a900abc09f8f86ce3ef'],
  },
  {
    name: 'fsverity-utils testdata/cert',
    publicKey: '4a4300fab9a55e609f55f170a22464151244eca263a61cf4005cb79b71ed3c28',
    certificates: ['8312f5e4304c6a9eb3cf908e5e5539b39641819119d51875ba59095465ab5eca'],
    avb: [
      '3ffe99e0b1120fed1793a0ab2e05eb20b825dc95cccd9aae4531a9917e55c0db',
      'd38390543526608cae15b5d068eb24452a648730',
    ],
  },
  {
    name: 'patrickfav/uber-apk-signer debug.keystore',
    publicKey: '353a102774907fe76fdc2387261a21cb48d181a864ef125b74816facf0a177df',
    certificates: ['1e08a903aef9c3a721510b64ec764d01d3d094eb954161b62544ea8f187b5953'],
  },
];
