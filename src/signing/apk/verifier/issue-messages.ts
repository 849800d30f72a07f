/**
 * Every finding of the verifier: its stable name, what it needs to be told, and its text.
 *
 * Names are those of apksig's `ApkVerifier.Issue` wherever it has one, so that scripts and people can
 * look them up; those of our own strictness stand at the end.
 */

interface Reason {
  readonly reason: string;
}
interface Numbered {
  /** Counted from 1. */
  readonly number: number;
}
interface Algorithm {
  readonly algorithm: string;
}
interface Pair {
  readonly expected: string;
  readonly actual: string;
}
interface Identified {
  readonly id: string;
}
interface SignatureFile {
  /** Entry name of the signature file or signature block. */
  readonly file: string;
}
interface Entry {
  readonly entry: string;
}
interface SchemeReference {
  readonly scheme: string | number;
}

const malformedPublicKey = ({ reason }: Reason): string => `Malformed public key: ${reason}`;
const malformedCertificate = ({ number, reason }: Numbered & Reason): string =>
  `Malformed certificate #${number}: ${reason}`;
const malformedAttribute = ({ number, reason }: Numbered & Reason): string =>
  `Malformed additional attribute #${number}: ${reason}`;
const malformedSigners = ({ reason }: Reason): string => `Malformed list of signers: ${reason}`;
const malformedSigner = ({ reason }: Reason): string => `Malformed signer block: ${reason}`;
const malformedRecord =
  (scheme: string, record: string) =>
  ({ number, reason }: Numbered & Reason): string =>
    `Malformed ${scheme} ${record} record #${number}: ${reason}`;
const unknownAlgorithm = ({ id }: Identified): string => `Unknown signature algorithm ${id}`;
const unknownAttribute = ({ id }: Identified): string => `Unknown additional attribute ${id}`;
const verifyException = ({ algorithm, reason }: Algorithm & Reason): string =>
  `The ${algorithm} signature cannot be verified: ${reason}`;
const didNotVerify = ({ algorithm }: Algorithm): string =>
  `The ${algorithm} signature does not verify over the signed data`;
const keyMismatch = ({
  certificateKey,
  recordKey,
}: {
  certificateKey: string;
  recordKey: string;
}) =>
  `The public key of the certificate <${certificateKey}> is not the one of the signature record <${recordKey}>`;
const algorithmMismatch = ({ signatures, digests }: { signatures: string; digests: string }) =>
  `The signature algorithms of the signatures (${signatures}) are not those of the digests (${digests})`;
const contentDigest = ({ algorithm, expected, actual }: Algorithm & Pair): string =>
  `The content of the APK was changed: its ${algorithm} digest is ${actual}, ${expected} was signed`;
const sdkMismatch =
  (end: string) =>
  ({ signer, signedData }: { signer: number; signedData: number }): string =>
    `The ${end} SDK version of the signer, ${signer}, is not the one of its signed data, ${signedData}`;
const tooManySigners =
  (scheme: string) =>
  ({ maximum, found }: { maximum: number; found: number }): string =>
    `${scheme} supports at most ${maximum} signers, ${found} were found`;

/** Parameters are what a program needs of a finding; each text says them to people. */
export const issueMessages = {
  JAR_SIG_NO_SIGNATURES: () => 'No JAR signatures',
  JAR_SIG_MAX_SIGNATURES_EXCEEDED: tooManySigners('JAR signing'),
  JAR_SIG_NO_SIGNED_ZIP_ENTRIES: () => 'No entries are covered by JAR signatures',
  JAR_SIG_DUPLICATE_ZIP_ENTRY: ({ entry }: Entry) => `Duplicate entry ${entry}`,
  JAR_SIG_DUPLICATE_MANIFEST_SECTION: ({ section }: { section: string }) =>
    `Duplicate section in META-INF/MANIFEST.MF: ${section}`,
  JAR_SIG_UNNNAMED_MANIFEST_SECTION: ({ number }: Numbered) =>
    `Malformed META-INF/MANIFEST.MF: section #${number} has no name`,
  JAR_SIG_UNNNAMED_SIG_FILE_SECTION: ({ file, number }: SignatureFile & Numbered) =>
    `Malformed ${file}: section #${number} has no name`,
  JAR_SIG_NO_MANIFEST: () => 'META-INF/MANIFEST.MF is missing',
  JAR_SIG_MISSING_ZIP_ENTRY_REFERENCED_IN_MANIFEST: ({ entry }: Entry) =>
    `META-INF/MANIFEST.MF lists ${entry}, which is not in the APK`,
  JAR_SIG_NO_ZIP_ENTRY_DIGEST_IN_MANIFEST: ({ entry }: Entry) =>
    `META-INF/MANIFEST.MF has no digest of ${entry}`,
  JAR_SIG_NO_ZIP_ENTRY_DIGEST_IN_SIG_FILE: ({ entry, file }: Entry & SignatureFile) =>
    `${file} has no digest of ${entry}`,
  JAR_SIG_ZIP_ENTRY_NOT_SIGNED: ({ entry }: Entry) => `Entry ${entry} is not signed`,
  JAR_SIG_ZIP_ENTRY_SIGNERS_MISMATCH: (of: {
    entry: string;
    signers: string;
    otherEntry: string;
    otherSigners: string;
  }) =>
    `Entries ${of.entry} and ${of.otherEntry} are signed by different signers: <${of.signers}> and <${of.otherSigners}>`,
  JAR_SIG_ZIP_ENTRY_DIGEST_DID_NOT_VERIFY: (of: Entry & Algorithm & SignatureFile & Pair) =>
    `The ${of.algorithm} digest of ${of.entry} is <${of.actual}>, ${of.file} says <${of.expected}>`,
  JAR_SIG_MANIFEST_MAIN_SECTION_DIGEST_DID_NOT_VERIFY: (of: Algorithm & SignatureFile & Pair) =>
    `The ${of.algorithm} digest of the main section of META-INF/MANIFEST.MF is <${of.actual}>, ${of.file} says <${of.expected}>`,
  JAR_SIG_MANIFEST_SECTION_DIGEST_DID_NOT_VERIFY: (of: Entry & Algorithm & SignatureFile & Pair) =>
    `The ${of.algorithm} digest of the section of META-INF/MANIFEST.MF for ${of.entry} is <${of.actual}>, ${of.file} says <${of.expected}>`,
  JAR_SIG_NO_MANIFEST_DIGEST_IN_SIG_FILE: ({ file }: SignatureFile) =>
    `${file} has no digest of the whole META-INF/MANIFEST.MF, which makes verification slower`,
  JAR_SIG_NO_APK_SIG_STRIP_PROTECTION: ({ file }: SignatureFile) =>
    `The v2 or later signature of the APK could be stripped unnoticed: ${file} does not say that there is one`,
  JAR_SIG_MISSING_FILE: ({ found, missing }: { found: string; missing: string }) =>
    `Half a JAR signature: ${found} is there, ${missing} is missing`,
  JAR_SIG_VERIFY_EXCEPTION: (of: { block: string; file: string; reason: string }) =>
    `JAR signature ${of.block} cannot be verified against ${of.file}: ${of.reason}`,
  JAR_SIG_UNSUPPORTED_SIG_ALG: (of: {
    block: string;
    digestOid: string;
    signatureOid: string;
    /** API levels, as `1-17` or `1, 18+`. */
    apiLevels: string;
    digest: string;
    signature: string;
  }) =>
    `JAR signature ${of.block} uses digest algorithm ${of.digest} with signature algorithm ${of.signature}, which is not supported on API levels ${of.apiLevels}`,
  JAR_SIG_PARSE_EXCEPTION: ({ block, reason }: { block: string; reason: string }) =>
    `JAR signature ${block} cannot be parsed: ${reason}`,
  JAR_SIG_MALFORMED_CERTIFICATE: ({ block, reason }: { block: string; reason: string }) =>
    `JAR signature ${block} holds a malformed certificate: ${reason}`,
  JAR_SIG_DID_NOT_VERIFY: ({ block, file }: { block: string; file: string }) =>
    `JAR signature ${block} does not verify against ${file}`,
  JAR_SIG_NO_SIGNERS: ({ block }: { block: string }) => `JAR signature ${block} has no signers`,
  JAR_SIG_DUPLICATE_SIG_FILE_SECTION: ({ file, section }: SignatureFile & { section: string }) =>
    `Duplicate section in ${file}: ${section}`,
  JAR_SIG_MISSING_VERSION_ATTR_IN_SIG_FILE: ({ file }: SignatureFile) =>
    `Malformed ${file}: it has no Signature-Version attribute`,
  JAR_SIG_UNKNOWN_APK_SIG_SCHEME_ID: ({ file, scheme }: SignatureFile & SchemeReference) =>
    `JAR signature ${file} speaks of unknown APK signature scheme ${scheme}`,
  JAR_SIG_MISSING_APK_SIG_REFERENCED: ({ file, scheme }: SignatureFile & SchemeReference) =>
    `JAR signature ${file} says that the APK is signed by ${scheme}, and there is no such signature: was it stripped?`,
  JAR_SIG_UNPROTECTED_ZIP_ENTRY: ({ entry }: Entry) =>
    `${entry} is not protected by the JAR signature: nobody would notice a change`,
  JAR_SIG_MISSING: () => 'This signer made no JAR signature',

  NO_SIG_FOR_TARGET_SANDBOX_VERSION: ({ version }: { version: number }) =>
    `Target sandbox version ${version} needs a signature of scheme v2 or later`,
  MIN_SIG_SCHEME_FOR_TARGET_SDK_NOT_MET: (of: { targetSdk: number; scheme: number }) =>
    `Target SDK version ${of.targetSdk} needs a signature of scheme v${of.scheme} or later`,

  V2_SIG_MISSING: () => 'This signer made no v2 signature',
  V2_SIG_MALFORMED_SIGNERS: malformedSigners,
  V2_SIG_MALFORMED_SIGNER: malformedSigner,
  V2_SIG_MALFORMED_PUBLIC_KEY: malformedPublicKey,
  V2_SIG_MALFORMED_CERTIFICATE: malformedCertificate,
  V2_SIG_MALFORMED_SIGNATURE: malformedRecord('v2', 'signature'),
  V2_SIG_MALFORMED_DIGEST: malformedRecord('v2', 'digest'),
  V2_SIG_MALFORMED_ADDITIONAL_ATTRIBUTE: malformedAttribute,
  V2_SIG_UNKNOWN_APK_SIG_SCHEME_ID: ({ scheme }: SchemeReference) =>
    `The v2 signature speaks of unknown APK signature scheme ${scheme}`,
  V2_SIG_MISSING_APK_SIG_REFERENCED: ({ scheme }: SchemeReference) =>
    `The v2 signature says that the APK is signed by ${scheme}, and there is no such signature: was it stripped?`,
  V2_SIG_MAX_SIGNATURES_EXCEEDED: tooManySigners('APK Signature Scheme v2'),
  V2_SIG_NO_SIGNERS: () => 'The v2 signature has no signers',
  V2_SIG_UNKNOWN_SIG_ALGORITHM: unknownAlgorithm,
  V2_SIG_UNKNOWN_ADDITIONAL_ATTRIBUTE: unknownAttribute,
  V2_SIG_VERIFY_EXCEPTION: verifyException,
  V2_SIG_DID_NOT_VERIFY: didNotVerify,
  V2_SIG_NO_SIGNATURES: () => 'No signatures',
  V2_SIG_NO_SUPPORTED_SIGNATURES: ({ reason }: Reason) => `No supported signatures: ${reason}`,
  V2_SIG_NO_CERTIFICATES: () => 'No certificates',
  V2_SIG_PUBLIC_KEY_MISMATCH_BETWEEN_CERTIFICATE_AND_SIGNATURES_RECORD: keyMismatch,
  V2_SIG_SIG_ALG_MISMATCH_BETWEEN_SIGNATURES_AND_DIGESTS_RECORDS: algorithmMismatch,
  V2_SIG_APK_DIGEST_DID_NOT_VERIFY: contentDigest,

  V3_SIG_MALFORMED_SIGNERS: malformedSigners,
  V3_SIG_MALFORMED_SIGNER: malformedSigner,
  V3_SIG_MALFORMED_PUBLIC_KEY: malformedPublicKey,
  V3_SIG_MALFORMED_CERTIFICATE: malformedCertificate,
  V3_SIG_MALFORMED_SIGNATURE: malformedRecord('v3', 'signature'),
  V3_SIG_MALFORMED_DIGEST: malformedRecord('v3', 'digest'),
  V3_SIG_MALFORMED_ADDITIONAL_ATTRIBUTE: malformedAttribute,
  V3_SIG_NO_SIGNERS: () => 'The v3 signature has no signers',
  V3_SIG_MULTIPLE_SIGNERS: () => 'Several v3 signers for one SDK version',
  V3_SIG_MULTIPLE_PAST_SIGNERS: () =>
    'An APK with a v3 signature may have only one signer of the older schemes',
  V3_SIG_PAST_SIGNERS_MISMATCH: () =>
    'The v3 signer is not the signer of the older schemes, and no lineage leads from one to the other',
  V3_SIG_UNKNOWN_SIG_ALGORITHM: unknownAlgorithm,
  V3_SIG_UNKNOWN_ADDITIONAL_ATTRIBUTE: unknownAttribute,
  V3_SIG_VERIFY_EXCEPTION: verifyException,
  V3_SIG_INVALID_SDK_VERSIONS: ({ min, max }: { min: number; max: number }) =>
    `The signer's SDK versions ${min} to ${max} are no range`,
  V3_SIG_DID_NOT_VERIFY: didNotVerify,
  V3_SIG_NO_SIGNATURES: () => 'No signatures',
  V3_SIG_NO_SUPPORTED_SIGNATURES: () => 'No supported signatures',
  V3_SIG_NO_CERTIFICATES: () => 'No certificates',
  V3_MIN_SDK_VERSION_MISMATCH_BETWEEN_SIGNER_AND_SIGNED_DATA_RECORD: sdkMismatch('minimum'),
  V3_MAX_SDK_VERSION_MISMATCH_BETWEEN_SIGNER_AND_SIGNED_DATA_RECORD: sdkMismatch('maximum'),
  V3_SIG_PUBLIC_KEY_MISMATCH_BETWEEN_CERTIFICATE_AND_SIGNATURES_RECORD: keyMismatch,
  V3_SIG_SIG_ALG_MISMATCH_BETWEEN_SIGNATURES_AND_DIGESTS_RECORDS: algorithmMismatch,
  V3_SIG_APK_DIGEST_DID_NOT_VERIFY: contentDigest,
  V3_SIG_POR_DID_NOT_VERIFY: () => 'The lineage holds a rotation whose signature does not verify',
  V3_SIG_MALFORMED_LINEAGE: () => 'Malformed lineage',
  V3_SIG_POR_CERT_MISMATCH: () => "The lineage does not end with the signer's certificate",
  V3_INCONSISTENT_SDK_VERSIONS: () =>
    'The SDK versions of the v3 signers overlap or leave a gap between them',
  V3_MISSING_SDK_VERSIONS: ({ min, max }: { min: number; max: number }) =>
    `The v3 signers cover SDK versions ${min} to ${max}, which is not all that are verified for`,
  V3_INCONSISTENT_LINEAGES: () =>
    'The lineages of the v3 signers for different SDK versions are not parts of one lineage',
  V31_BLOCK_MISSING: ({ rotationMinSdk }: { rotationMinSdk: number }) =>
    `The v3 signer says that the key rotates from SDK version ${rotationMinSdk} on, and there is no v3.1 signature: was it stripped?`,
  V31_ROTATION_MIN_SDK_MISMATCH: (of: { attribute: number; block: number }) =>
    `The v3 signer says that the key rotates from SDK version ${of.attribute} on, the v3.1 signature from ${of.block} on`,
  V31_ROTATION_MIN_SDK_ATTR_MISSING: ({ rotationMinSdk }: { rotationMinSdk: number }) =>
    `The key rotates from SDK version ${rotationMinSdk} on, and the v3 signer does not say so: the v3.1 signature could be stripped unnoticed`,
  V31_BLOCK_FOUND_WITHOUT_V3_BLOCK: () => 'There is a v3.1 signature and no v3 signature',
  V31_ROTATION_TARGETS_DEV_RELEASE_ATTR_ON_V3_SIGNER: () =>
    'A v3 signer claims to target a development release, which only v3.1 signers can; Android ignores it',
  APK_SIG_BLOCK_UNKNOWN_ENTRY_ID: ({ id }: Identified) =>
    `The APK Signing Block holds a pair of unknown id ${id}, whose bytes no signature covers`,

  /** Ours: Android, too, takes an APK for one without a signing block then. */
  APK_SIG_BLOCK_NOT_READ: ({ reason }: Reason) => `The APK Signing Block is passed over: ${reason}`,

  V4_SIG_MALFORMED_SIGNERS: ({ reason }: Reason) => `Malformed idsig: ${reason}`,
  V4_SIG_UNKNOWN_SIG_ALGORITHM: unknownAlgorithm,
  V4_SIG_NO_SIGNATURES: () => 'The idsig is not signed',
  V4_SIG_DID_NOT_VERIFY: didNotVerify,
  V4_SIG_VERIFY_EXCEPTION: verifyException,
  V4_SIG_MALFORMED_PUBLIC_KEY: malformedPublicKey,
  V4_SIG_MALFORMED_CERTIFICATE: ({ reason }: Reason) => `Malformed certificate: ${reason}`,
  V4_SIG_NO_CERTIFICATE: () => 'The idsig holds no certificate',
  V4_SIG_PUBLIC_KEY_MISMATCH_BETWEEN_CERTIFICATE_AND_SIGNATURES_RECORD: keyMismatch,
  V4_SIG_APK_ROOT_DID_NOT_VERIFY: ({ expected, actual }: Pair) =>
    `The root hash of the APK is ${actual}, the idsig says ${expected}`,
  V4_SIG_APK_TREE_DID_NOT_VERIFY: ({ reason }: Reason) =>
    `The Merkle tree of the idsig is not the one of the APK: ${reason}`,
  V4_SIG_MULTIPLE_SIGNERS: () => 'The signers of the idsig are not one for each v3 and v3.1 signer',
  V4_SIG_V2_V3_SIGNERS_MISMATCH: () => 'The signer of the idsig is not the signer of the APK',
  V4_SIG_V2_V3_DIGESTS_MISMATCH: () =>
    'The digest in the idsig is not the one the APK is signed with',

  SOURCE_STAMP_CERT_DIGEST_AND_SIG_BLOCK_MISSING: () => 'There is no source stamp',
  SOURCE_STAMP_SIG_MISSING: () =>
    'The APK holds the digest of a source stamp certificate and no source stamp',
  SOURCE_STAMP_MALFORMED_CERTIFICATE: ({ reason }: Reason) => `Malformed certificate: ${reason}`,
  SOURCE_STAMP_MALFORMED_SIGNATURE: ({ reason }: Reason) => `Malformed source stamp: ${reason}`,
  SOURCE_STAMP_UNKNOWN_SIG_ALGORITHM: unknownAlgorithm,
  SOURCE_STAMP_VERIFY_EXCEPTION: verifyException,
  SOURCE_STAMP_DID_NOT_VERIFY: didNotVerify,
  SOURCE_STAMP_NO_SIGNATURE: () =>
    'The source stamp lacks a signature over what the APK is signed by',
  SOURCE_STAMP_NO_SUPPORTED_SIGNATURE: ({ signatures, reason }: Reason & { signatures: string }) =>
    `None of the signatures ${signatures} is supported: ${reason}`,
  SOURCE_STAMP_CERTIFICATE_MISMATCH_BETWEEN_SIGNATURE_BLOCK_AND_APK: (of: {
    block: string;
    apk: string;
  }) =>
    `The certificate of the source stamp <${of.block}> is not the one whose digest is in the APK <${of.apk}>`,
  SOURCE_STAMP_SIGNATURE_BLOCK_WITHOUT_CERT_DIGEST: () =>
    'There is a source stamp, and no digest of its certificate in the APK',
  SOURCE_STAMP_EXPECTED_DIGEST_MISMATCH: ({ actual, expected }: Pair) =>
    `The source stamp is by certificate ${actual}, not by ${expected}`,
  SOURCE_STAMP_MALFORMED_ATTRIBUTE: ({ number }: Numbered) =>
    `Malformed source stamp attribute #${number}`,
  SOURCE_STAMP_UNKNOWN_ATTRIBUTE: unknownAttribute,
  SOURCE_STAMP_MALFORMED_LINEAGE: () => 'Malformed lineage of the source stamp',
  SOURCE_STAMP_POR_CERT_MISMATCH: () =>
    "The source stamp's lineage does not end with its certificate",
  SOURCE_STAMP_POR_DID_NOT_VERIFY: () =>
    "The source stamp's lineage holds a rotation whose signature does not verify",
  SOURCE_STAMP_INVALID_TIMESTAMP: ({ timestamp }: { timestamp: string }) =>
    `The time of the source stamp is ${timestamp}, which is not a time after 1970`,

  /** What apksig reports as an exception: the file is no APK at all. */
  MALFORMED_APK: ({ reason }: Reason) => reason,

  /** Ours, of `strict`: the ZIP profile. */
  STRICT_ZIP: ({ reason }: Reason) => reason,
  /** Ours, of `strict`: pairs and bytes of the signing block. */
  STRICT_SIGNING_BLOCK: ({ reason }: Reason) => reason,
  /** Ours: who signed is nobody who is trusted. */
  SIGNER_NOT_TRUSTED: ({ certificate }: { certificate: string }) =>
    `The APK is signed by certificate ${certificate}, which is not trusted`,
} as const;
