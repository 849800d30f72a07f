#!/bin/sh
# What a user writes today with one tool for each step: the contender of `microbuild image` in the bench.
#
#   image-script.sh TREE INITRD KERNEL KEY CERTIFICATE OUT ROOTS APK...     ROOTS: 0 to do without parity
#
# Leaves out what this machine has no tool for: with avbtool there are AVB footers and a vbmeta, too.
set -eu
tree=$1 initrd=$2 kernel=$3 key=$4 certificate=$5 out=$6 roots=$7
shift 7
uuid=6d696372-6f62-7569-6c64-62656e636821
salt=5aa55aa55aa55aa55aa55aa55aa55aa55aa55aa55aa55aa55aa55aa55aa55aa5
rm -rf "$out"
mkdir -p "$out"

# The file system, its hash tree, its parity.
mkfs.erofs --quiet -T0 "-U$uuid" "$out/system.erofs" "$tree"
if [ "$roots" = 0 ]; then
    veritysetup format "--salt=$salt" "--uuid=$uuid" "$out/system.erofs" "$out/system.hash" >"$out/system.verity"
else
    veritysetup format "--salt=$salt" "--uuid=$uuid" "--fec-device=$out/system.fec" "--fec-roots=$roots" \
        "$out/system.erofs" "$out/system.hash" >"$out/system.verity"
fi

# The initial RAM disk.
(cd "$initrd" && find . | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc) | gzip -n >"$out/initrd.img"
cp "$kernel" "$out/kernel"

# Android Verified Boot.
if command -v avbtool >/dev/null 2>&1; then
    cp "$out/system.erofs" "$out/system.img"
    fec=--do_not_generate_fec
    [ "$roots" != 0 ] && command -v fec >/dev/null 2>&1 && fec="--fec_num_roots=$roots"
    avbtool add_hashtree_footer --image "$out/system.img" --partition_name system --partition_size 0 \
        --hash_algorithm sha256 "$fec" --algorithm SHA256_RSA4096 --key "$key.avb"
    avbtool add_hash_footer --image "$out/kernel" --partition_name boot --dynamic_partition_size \
        --algorithm SHA256_RSA4096 --key "$key.avb"
    avbtool make_vbmeta_image --output "$out/vbmeta.img" --include_descriptors_from_image "$out/system.img" \
        --algorithm SHA256_RSA4096 --key "$key.avb"
fi

# The payloads.
for apk; do
    name=$(basename "$apk")
    zipalign -p -f 4 "$apk" "$out/$name.aligned"
    apksigner sign --v1-signing-enabled false --v2-signing-enabled false --v3-signing-enabled true \
        --v4-signing-enabled true --min-sdk-version 34 --key "$key" --cert "$certificate" \
        --out "$out/$name" "$out/$name.aligned"
    rm "$out/$name.aligned"
done

# The manifest.
cd "$out"
sha256sum -- * >SHA256SUMS
