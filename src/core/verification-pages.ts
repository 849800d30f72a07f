/**
 * The codes of `VerificationError` beside those of `FormatError`, which it takes over from what it wraps.
 * The type of its code is made from this table: a code without a page does not compile.
 */

import { page } from './error-page.ts';

const UNTRUSTED =
  'Do not use it. Get the original from whoever released it, and report what you found';

export const verificationPages = {
  // libavb's names.
  Io: page(
    'What AVB must look at could not be read.',
    'Read the cause in the line above; the medium or the path is at fault, not the signature',
    'Cannot verify kernel: its vbmeta cannot be read',
  ),
  InvalidMetadata: page(
    'The vbmeta image does not decode: it was damaged, cut off, or is none.',
    'Look at it with microbuild inspect FILE, and make or fetch it anew',
    'Cannot verify vbmeta: Cannot read vbmeta: magic is 0x0',
  ),
  UnsupportedVersion: page(
    'The vbmeta image asks for a newer libavb than is known here.',
    'Update microbuild, or sign with an older version of AVB',
    'Cannot verify kernel: it requires libavb 2.0',
  ),
  Verification: page(
    'A digest or signature of AVB does not match what it is over: something was changed after it was signed.',
    UNTRUSTED,
    'Cannot verify initrd: its digest is not the one of the kernel’s vbmeta',
  ),
  PublicKeyRejected: page(
    'The signature holds, but its key is not the one that is trusted.',
    'Name the right key with --trust, or sign with the key that is trusted',
    'microbuild verify out/hello --trust release.avbpubkey',
  ),
  RollbackIndex: page(
    'The image is older than one that was accepted before: its rollback index is lower.',
    'Use a newer release; where going back is meant, use another instance',
    'Cannot verify kernel: rollback index is 2, at least 3 is wanted',
  ),
  InvalidDescriptors: page(
    'The vbmeta lacks a descriptor that must be there, or has one that must not.',
    'Build the image with microbuild image; AVB tools need a descriptor for each initrd and none twice',
    'Cannot verify kernel: it has no descriptor of initrd_normal',
  ),
  UnknownVbmetaProperty: page(
    'The vbmeta has a property that no virtual machine monitor may pass over.',
    'Sign it without the property, or with a microbuild that knows it',
    'Cannot verify kernel: property com.android.virt.x is not known',
  ),
  // Signatures of any kind.
  'bad-signature': page(
    'The signature does not verify over the data with the key that is named.',
    UNTRUSTED,
    'Cannot trust idsig: its signature does not verify',
  ),
  'wrong-signature': page(
    'A signature that was attached is not one over what was prepared.',
    'Sign the file that --prepare wrote, as it is, with the key of the request, and attach the result',
    'microbuild sign app.apk --key cert.pem --attach requests/',
  ),
  'unknown-signature': page(
    'The folder holds a signature that nothing asked for.',
    'Remove it, or use the folder that belongs to this input',
    'Cannot use requests/7f.sig: no request is for it',
  ),
  unsigned: page(
    'There is no signature where one is wanted.',
    'Sign it: microbuild sign, or an algorithm other than NONE',
    'Cannot trust idsig: it is not signed',
  ),
  untrusted: page(
    'None of the trusted keys signed it.',
    'Name the right key, or have it signed by a key that is trusted',
    'microbuild verify statement.dsse.json --trust release.pub',
  ),
  'untrusted-signer': page(
    'Somebody signed it whose certificate is none of the trusted ones.',
    'Name the right certificate with --trust, or have it signed by its owner',
    'microbuild verify file.p7s --file file --trust release.pem',
  ),
  'untrusted-certificate': page(
    'The payload is signed, by a certificate that the bootconfig of the guest does not name.',
    'Sign it with an accepted key, or build the image with payload.certificates that name this one',
    'Cannot trust payload: its certificate is not one that the bootconfig names',
  ),
  'unsupported-algorithm': page(
    'The signature uses an algorithm that is not accepted here.',
    'Sign with RSA of 2048 bits or more, ECDSA on P-256 or P-384, or Ed25519, and SHA-256 or better',
    'Cannot verify signature: algorithm 1.2.840.113549.1.1.4 is not supported',
  ),
  'algorithm-mismatch': page(
    'What is signed and what signs it name different algorithms.',
    UNTRUSTED,
    'Cannot trust lineage: the algorithm of a node is not the one it was signed with',
  ),
  'public-key-mismatch': page(
    'The certificate is for another key than the one that signed.',
    'Sign again with the key of the certificate',
    'Cannot trust idsig: its key is not that of its certificate',
  ),
  'certificate-mismatch': page(
    'The idsig names another certificate than the signature of the APK.',
    'Make the idsig from this APK with its key: microbuild sign app.apk --v4',
    'Cannot trust idsig: it names another certificate than the APK',
  ),
  'no-certificate': page(
    'A signer lists no certificate.',
    'Sign the APK again',
    'Cannot verify APK: a signer has no certificate',
  ),
  'bad-certificate': page(
    'A certificate does not decode.',
    'Make it anew; microbuild keys info FILE tells what it holds',
    'Cannot trust lineage: certificate 1 is malformed',
  ),
  'bad-issuer': page(
    'A certificate of the DICE chain is not issued by the one before it.',
    'Do not trust what the guest says of itself; start it again from a bundle that verifies',
    'Cannot trust DICE chain: names differ',
  ),
  // APKs.
  'no-v3-block': page(
    'The APK has no signature of scheme v3, which the guest needs.',
    'Sign it: microbuild sign app.apk --key KEY',
    'Cannot verify APK: it has no APK Signature Scheme v3 block',
  ),
  'signer-count': page(
    'The APK does not have exactly one signer that is valid for the guest.',
    'Sign it anew with one key',
    'Cannot verify APK: it has 2 signers, expected 1',
  ),
  'sdk-mismatch': page(
    'The range of SDK versions that is signed is not the one beside it: somebody changed the latter.',
    UNTRUSTED,
    'Cannot verify APK: the SDK range differs between signed and unsigned data',
  ),
  'digest-mismatch': page(
    'The bytes are not those that were digested: they were changed, or belong to another release.',
    UNTRUSTED,
    'Cannot trust bundle: os.img is not the file that manifest.json lists',
  ),
  'root-digest-mismatch': page(
    'The root digest of a hash tree is not the one that is wanted.',
    'Use the root digest that was printed when the tree was made; it may be that of another image',
    'microbuild verity verify image.erofs ROOT_DIGEST',
  ),
  'root-mismatch': page(
    'The root hash of the idsig is not that of the APK: it is for another APK.',
    'Make the idsig from this APK',
    'Cannot trust idsig: its root hash is not that of the APK',
  ),
  'tree-mismatch': page(
    'The hash tree in the idsig is not the one that its root hash is the root of.',
    'Make the idsig anew: microbuild sign app.apk --v4',
    'Cannot trust idsig: its tree does not have its root hash',
  ),
  // Payloads.
  'extra-apk-count': page(
    'The payload expects another number of extra APKs than the disk has.',
    'Make extraApks of the recipe and extra_apks of the payload configuration agree',
    'Cannot start payload: it expects 2 extra APKs, and the disk has 1',
  ),
  missing: page(
    'The library or program that is to be started is not in the APK.',
    'Name an entry that is there: microbuild inspect app.apk ls',
    'Cannot start payload: it has no lib/x86_64/libmain.so',
  ),
  // Envelopes, detached and two-phase signatures.
  'payload-type': page(
    'The envelope is signed, but what it holds is of another type than the one that is wanted.',
    'Verify it as what it is: microbuild inspect FILE shows its type',
    'Cannot trust envelope: its type is application/vnd.in-toto+json',
  ),
  'other-content': page(
    'The detached signature is for other contents.',
    'Use the signature of this release, or extract it anew from what was signed',
    'Cannot attach signature: it is for another APK',
  ),
  damaged: page(
    'The detached signature does not decode to what it was made from.',
    'Extract it anew',
    'Cannot attach signature: it is damaged',
  ),
  // Release policy.
  'published-key': page(
    'The key is a test key that everybody has.',
    'Make a key of your own: microbuild keys generate',
    'testkey_rsa4096 is a published test key: anybody can sign with it',
  ),
  'development-key': page(
    'A release was to be signed with a development key.',
    'Name the release key, or the one of a token',
    'image key is a development key, which whoever builds may use',
  ),
  debuggable: page(
    'The APK says android:debuggable="true": whoever can reach it can take it over.',
    'Build its release variant',
    'app.apk is debuggable',
  ),
  'verification-disabled': page(
    'The flags of the vbmeta turn verification off.',
    'Sign it with flags 0',
    'vbmeta turns verification off: its flags are 2',
  ),
  'unpinned-input': page(
    'A release takes inputs that the lock file does not pin.',
    'Pin them: microbuild lock RECIPE --update',
    'hello takes inputs that nothing pins: musl',
  ),
  rollback: page(
    'What is to be used is older than what was used before.',
    'Use a newer one, or another instance; releases need a rollback index that never falls',
    'Cannot run bundle: rollback index 2 is below 3, which this instance has seen',
  ),
} as const;
