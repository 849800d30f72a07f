/** What `microbuild explain` says of the codes of errors: complete, or it does not compile. */

import { page, type ErrorPage } from './error-page.ts';
import type { FormatErrorCode, UsageErrorCode } from './errors.ts';

export const formatPages: Readonly<Record<FormatErrorCode, ErrorPage>> = {
  truncated: page(
    'The bytes end before what they say they hold does.',
    'Fetch or make the file again; compare its size with the original’s',
    'Cannot read 4096 bytes of os.img: it has 512 bytes',
  ),
  'bad-magic': page(
    'It does not begin (or end) as a file of this format does: it is something else.',
    'Look what it is: file NAME, or microbuild inspect NAME',
    'Cannot read EROFS: magic is 0x0',
  ),
  'bad-version': page(
    'It is of a version of the format that is not known.',
    'Update microbuild, or have it written in an older version',
    'Cannot read idsig: version is 3, only 2 is known',
  ),
  'bad-value': page(
    'A field has a value that the format does not allow.',
    'microbuild inspect NAME shows the field; make the file anew with a tool that keeps to the format',
    'Cannot read EROFS: inode 42: mode is 0o0',
  ),
  'bad-checksum': page(
    'A checksum is not that of what it covers: bytes changed on the way, or on the medium.',
    'Fetch the file again',
    'Cannot read GPT: the checksum of the header is wrong',
  ),
  'out-of-range': page(
    'An offset or size points outside of the file, or of the part that it belongs to.',
    'The file is cut off or hostile; fetch or make it again',
    'Cannot read GPT: partition 1 leaves the usable range',
  ),
  'too-large': page(
    'It claims more than is sensible, and nothing is allocated on its word.',
    'If it is honest, split it; the message names the limit',
    'Cannot read archive: it holds more than 4294967296 bytes',
  ),
  'trailing-data': page(
    'Bytes follow where the format ends, which other readers might take for something.',
    'Cut them off, or find out who put them there: microbuild inspect NAME',
    'Cannot read APK: bytes follow its end record',
  ),
  duplicate: page(
    'Something comes twice that must be there once: readers would differ in which one they take.',
    'Make the archive anew, each name once',
    'Cannot read archive: entry "a" comes twice',
  ),
  unsupported: page(
    'It is well formed and uses what is not supported here.',
    'The message names the feature; write the file without it',
    'Cannot read EROFS: it needs compressed metadata (metabox)',
  ),
};

export const usagePages: Readonly<Record<UsageErrorCode, ErrorPage>> = {
  usage: page(
    'The command line is not one that the command takes.',
    'Look at microbuild COMMAND --help, or docs/cli.md',
    'Cannot use 3 arguments',
  ),
  key: page(
    'A key, certificate or password cannot be used as given.',
    'microbuild keys info REFERENCE tells what is there',
    'Cannot use release.key: the password is wrong',
  ),
  input: page(
    'A file or folder that was named is not there, or not what it should be.',
    'Check the path and what is there',
    'Cannot open bundle out/x: nothing is there',
  ),
  output: page(
    'The result cannot be written where it should be.',
    'Choose another place, or make room; what was there is as it was',
    'Cannot write out/hello: it exists and is no bundle',
  ),
  lock: page(
    'The lock file is not usable, or does not pin what the recipe asks for.',
    'Write it anew: microbuild lock RECIPE --update',
    'Cannot build: microbuild.lock does not pin musl',
  ),
};

/** The codes of the other classes, and of the operating system. */
export const otherPages: Readonly<Record<string, ErrorPage>> = {
  recipe: page(
    'The recipe has problems; each is told with its line and what to write instead.',
    'Mend the lines; docs/recipe.md has every key, schema/recipe.schema.json helps editors',
    'microbuild.yaml:12:5: unknown key "kernal", did you mean "kernel"?',
  ),
  tool: page(
    'A program that was run failed; what it said last follows.',
    'Run it by hand with the arguments that --verbose shows',
    'make ended with exit code 2',
  ),
  environment: page(
    'This machine lacks something; the message says what and how to get it.',
    'microbuild doctor tells all that is missing at once',
    'Cannot start a virtual machine: QEMU is not installed',
  ),
  ENOENT: page(
    'A file or folder is not there.',
    'Check the name; folders of outputs must exist',
    'Cannot open x: no such file or directory (ENOENT)',
  ),
  EACCES: page(
    'The permissions do not allow it.',
    'Change those of the file, or of a folder above it',
    'Cannot open x: permission denied (EACCES)',
  ),
  EPERM: page(
    'Only its owner, or root, may do it.',
    'Do it as its owner',
    'Cannot chown x: operation not permitted (EPERM)',
  ),
  EROFS: page(
    'The file system is mounted read-only.',
    'Choose a place that can be written',
    'Cannot open x: read-only file system (EROFS)',
  ),
  ENOSPC: page(
    'The disk is full. Nothing that was there before is lost, and nothing half-written stays.',
    'Make room, or choose a place on another file system; microbuild cache prune frees the cache',
    'Cannot write out/hello: no space left on device (ENOSPC)',
  ),
  EDQUOT: page(
    'The quota is used up.',
    'Make room, or choose a place on another file system',
    'Cannot write x: disk quota exceeded (EDQUOT)',
  ),
  ENOTDIR: page(
    'What stands in front of a slash in the path is no folder.',
    'Check the path',
    'Cannot open x/y: not a directory (ENOTDIR)',
  ),
  EISDIR: page(
    'It is a folder, where a file is needed.',
    'Name a file',
    'Cannot read x: illegal operation on a directory (EISDIR)',
  ),
  ELOOP: page(
    'Symbolic links lead in a circle.',
    'Check the links on the way to the file',
    'Cannot open x: too many symbolic links encountered (ELOOP)',
  ),
  ENAMETOOLONG: page(
    'A name has at most 255 bytes, a path 4095.',
    'Choose a shorter name, or a place nearer to the root',
    'Cannot open x: name too long (ENAMETOOLONG)',
  ),
  ENFILE: page(
    'The whole system has too many files open.',
    'End other programs, or raise fs.file-max',
    'Cannot open x: file table overflow (ENFILE)',
  ),
  ENOMEM: page(
    'There is not enough memory.',
    'End other programs, or use a machine with more memory',
    'Cannot read x: not enough memory (ENOMEM)',
  ),
  EIO: page(
    'A device or its connection failed. Nothing half-written stays, as far as the device still obeys.',
    'Look at dmesg, and copy what you need to another device',
    'Cannot read x: i/o error (EIO)',
  ),
  EUCLEAN: page(
    'The file system is damaged.',
    'Unmount it and run fsck',
    'Cannot read x: structure needs cleaning (EUCLEAN)',
  ),
  ESTALE: page(
    'The file server does not know this file any more.',
    'Mount it again, then run the command again',
    'Cannot read x: stale file handle (ESTALE)',
  ),
  EBUSY: page(
    'Something else uses it.',
    'End what uses it, then run the command again',
    'Cannot rename x: resource busy or locked (EBUSY)',
  ),
  ETXTBSY: page(
    'A program runs from this file.',
    'End the program, then run the command again',
    'Cannot open x: text file is busy (ETXTBSY)',
  ),
  EFBIG: page(
    'The file would be longer than files can be there.',
    'Check sizes and offsets; or choose another file system',
    'Cannot write x: file too large (EFBIG)',
  ),
  EMFILE: page(
    'Too many files are open.',
    'Raise the limit: ulimit -n 4096',
    'Cannot open x: too many open files (EMFILE)',
  ),
};

/** The links of the chain of trust, and what else a `VerificationError` may be about. */
export const linkPages: Readonly<Record<string, ErrorPage>> = {
  kernel: page(
    'The first link: the trusted AVB key vouches for the kernel by its vbmeta.',
    'Check that the right key is named, then that the bundle is the released one',
    'microbuild verify out/hello --trust release.avbpubkey',
  ),
  initrd: page(
    'The kernel’s vbmeta pins both initrds by their digests.',
    'The initrd was changed after it was signed: use the released bundle',
    'microbuild inspect out/hello/initrd.img',
  ),
  bootconfig: page(
    'The initrd ends in the bootconfig, which pins the vbmeta of the system and the certificates of payloads.',
    'Build the bundle anew; a bootconfig is never edited by hand',
    'microbuild inspect out/hello/initrd.img',
  ),
  vbmeta: page(
    'The vbmeta image of the system’s disk, or any vbmeta image.',
    'Use the disk of the same release as the initrd',
    'microbuild avb info_image --image vbmeta.img',
  ),
  system: page(
    'dm-verity vouches for every block of the system.',
    'The system was changed or damaged: use the released bundle; with FEC, microbuild verity repair mends damage',
    'microbuild diff RELEASED out/hello',
  ),
  partition: page(
    'The same for a further partition of the recipe.',
    'The partition was changed or damaged: use the released bundle',
    'microbuild diff RELEASED out/hello',
  ),
  manifest: page(
    'manifest.json lists every file with its digest.',
    'A file is not the listed one: use the released bundle',
    'microbuild verify out/hello',
  ),
  'manifest-signature': page(
    'manifest.dsse.json signs the manifest with the image key.',
    'Use the manifest that was signed',
    'microbuild verify out/hello',
  ),
  'payload-metadata': page(
    'The first partition of the payload’s disk says what is started.',
    'Build the payload disk anew',
    'microbuild inspect out/hello/payload.img',
  ),
  'payload-signature': page(
    'Scheme v3 vouches for every byte of the APK.',
    'The APK was changed after it was signed: use the released one, or sign it',
    'microbuild verify app.apk',
  ),
  'payload-certificate': page(
    'The bootconfig names the certificates whose payloads the guest starts.',
    'Sign the payload with an accepted key, or accept its certificate in the recipe',
    'microbuild verify out/hello',
  ),
  'payload-config': page(
    'The payload’s configuration says what is run, with which extra APKs.',
    'Make configuration, APK and extra APKs agree',
    'microbuild inspect app.apk cat assets/vm_config.json',
  ),
  'payload-version': page(
    'An instance accepts no older payload than it has run.',
    'Use a newer one, or another instance',
    'microbuild instance list',
  ),
  idsig: page(
    'Scheme v4 vouches for every block of the APK while it is read.',
    'Make the idsig from this APK',
    'microbuild sign app.apk --v4',
  ),
  'hash-tree': page(
    'A dm-verity hash tree that stands alone.',
    'Check the root digest and the parameters',
    'microbuild verity verify image.erofs ROOT_DIGEST',
  ),
  signature: page(
    'A signature that was made elsewhere and is attached here.',
    'Attach the signatures of these requests',
    'microbuild sign app.apk --attach requests/',
  ),
  'detached-signature': page(
    'The signature of an artefact, kept apart from it.',
    'Attach it to the contents that it was taken from',
    'microbuild sign --help',
  ),
  dsse: page(
    'An envelope around a signed statement.',
    'Name the right key, and look at what is inside with microbuild inspect',
    'microbuild verify statement.dsse.json --trust release.pub',
  ),
  dice: page(
    'What a guest says of itself, from boot stage to boot stage.',
    'Start the guest again from a bundle that verifies',
    'microbuild inspect chain.cbor',
  ),
  lineage: page(
    'The certificates by which a signing key was rotated.',
    'Make the lineage anew with the keys that it lists',
    'microbuild keys lineage --help',
  ),
  sbom: page(
    'The bill of materials of a bundle, and the statement that signs it.',
    'Use the bundle as it was released, or have it attested anew by its builder: microbuild attest',
    'microbuild verify out/hello --require sbom',
  ),
  provenance: page(
    'What a builder states of how a bundle was built.',
    'Use the bundle as it was released; the message says what is stated otherwise, or by whom',
    'microbuild verify out/hello --require provenance --trust builder.pub',
  ),
  'release-policy': page(
    'Rules for what may be signed as a release.',
    'Do as the message says; --profile development signs without them',
    'microbuild sign app.apk --key release.key --profile release',
  ),
};
