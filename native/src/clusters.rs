//! Cutting an input into clusters: the rules that all compressors of whole clusters share. The twin is
//! `src/compression/clusters.ts`.

/// What one cluster may decode to, in bytes: it bounds the memory of whoever reads it.
pub const MAX_CLUSTER_LENGTH: usize = 1 << 20;

/// Fills one cluster at a time, with what stands on its own.
pub trait ClusterEncoder {
    /// Encodes as much of `input[start..end]` as fits `capacity` bytes, behind what `out` holds already. Returns how much
    /// input that was; 0 when not even one byte fits.
    fn encode(
        &mut self,
        input: &[u8],
        start: usize,
        end: usize,
        capacity: usize,
        out: &mut Vec<u8>,
    ) -> usize;
}

/// A part of an input: stored as it is, or as a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub is_plain: bool,
    /// Bytes of input.
    pub length: usize,
    /// Bytes of output.
    pub stored_length: usize,
}

/// Compresses an input, cluster by cluster, behind what `out` and `extents` hold already. Where a cluster saves no block its
/// input is stored as it is, in plain extents of a block each.
///
/// Both sizes must be positive, and the cluster's a multiple of the block's.
pub fn cut_into_clusters(
    input: &[u8],
    block_size: usize,
    cluster_size: usize,
    encoder: &mut impl ClusterEncoder,
    extents: &mut Vec<Extent>,
    out: &mut Vec<u8>,
) {
    let mut at = 0;
    while at < input.len() {
        let end = input.len().min(at + MAX_CLUSTER_LENGTH);
        let before = out.len();
        // A block or less cannot save one.
        let consumed = if end - at > block_size {
            encoder.encode(input, at, end, cluster_size, out)
        } else {
            0
        };
        let stored_length = out.len() - before;
        if stored_length.div_ceil(block_size) * block_size < consumed {
            extents.push(Extent {
                is_plain: false,
                length: consumed,
                stored_length,
            });
            at += consumed;
            continue;
        }
        out.truncate(before);
        // All whole blocks of it: trying again at each of them would not find more to save.
        let plain = block_size.max(consumed - consumed % block_size);
        let stop = input.len().min(at + plain);
        for block in input[at..stop].chunks(block_size) {
            extents.push(Extent {
                is_plain: true,
                length: block.len(),
                stored_length: block.len(),
            });
            out.extend_from_slice(block);
        }
        at = stop;
    }
}
