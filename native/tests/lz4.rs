//! LZ4 clusters, decoded again.

use microbuild_native::clusters::{cut_into_clusters, Extent};
use microbuild_native::lz4::{decode_block, Lz4Encoder};

const BLOCK: usize = 4096;

fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    (0..length)
        .map(|_| {
            seed ^= seed >> 12;
            seed ^= seed << 25;
            seed ^= seed >> 27;
            (seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
        })
        .collect()
}

fn words(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|at| format!("word{} ", at * 7919 % 613).into_bytes())
        .collect()
}

fn compressed(encoder: &mut Lz4Encoder, input: &[u8], cluster: usize) -> (Vec<Extent>, Vec<u8>) {
    let (mut extents, mut out) = (Vec::new(), Vec::new());
    encoder.begin(input);
    cut_into_clusters(input, BLOCK, cluster, encoder, &mut extents, &mut out);
    (extents, out)
}

#[test]
fn every_level_encodes_what_decodes_to_the_input() {
    let mixed = [
        words(9000),
        noise(20_000, 5),
        vec![0; 2_500_000],
        words(3000),
    ]
    .concat();
    for level in 0..=12 {
        let mut encoder = Lz4Encoder::new(level).unwrap();
        for input in [&mixed[..], &mixed[..70_000], &mixed[..BLOCK + 1], &[]] {
            for cluster in [BLOCK, 16 * BLOCK] {
                let (extents, out) = compressed(&mut encoder, input, cluster);
                let (mut at, mut from) = (0, 0);
                for extent in extents {
                    let stored = &out[at..at + extent.stored_length];
                    let part = &input[from..from + extent.length];
                    if extent.is_plain {
                        assert_eq!(stored, part);
                    } else {
                        assert!(stored.len() <= cluster);
                        let mut target = vec![0; extent.length];
                        assert_eq!(decode_block(stored, &mut target), Some(extent.length));
                        assert!(target == part);
                    }
                    at += extent.stored_length;
                    from += extent.length;
                }
                assert_eq!((at, from), (out.len(), input.len()));
            }
        }
    }
}

#[test]
fn what_came_before_changes_nothing() {
    let (first, second) = (words(5000), [words(2000), noise(6000, 9)].concat());
    for level in [0, 1, 9] {
        let alone = compressed(&mut Lz4Encoder::new(level).unwrap(), &second, BLOCK);
        let mut used = Lz4Encoder::new(level).unwrap();
        compressed(&mut used, &first, BLOCK);
        assert!(compressed(&mut used, &second, BLOCK) == alone);
    }
}

#[test]
fn there_are_twelve_levels() {
    assert!(Lz4Encoder::new(12).is_some());
    assert!(Lz4Encoder::new(13).is_none());
    assert!(Lz4Encoder::new(u32::MAX).is_none());
}
