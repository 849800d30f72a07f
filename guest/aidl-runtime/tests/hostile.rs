//! Parcels that nobody means well with, and senders that know fewer or more fields.

use microbuild_aidl_runtime::{
    aidl_enum, Decoder, Encoder, ParcelResult, StatusCode, Structure, Value,
};
use microbuild_rpc::Parcel;

#[derive(Clone, Debug, Default, PartialEq)]
struct Tree {
    name: String,
    next: Option<Box<Tree>>,
    children: Vec<Tree>,
}

impl Structure for Tree {
    const DESCRIPTOR: &'static str = "Tree";

    fn encode_fields(&self, out: &mut Encoder) -> ParcelResult<()> {
        out.sized(|out| {
            out.write(&self.name)?;
            out.write(&self.next)?;
            out.write(&self.children)
        })
    }

    fn decode_fields(input: &mut Decoder<'_>) -> ParcelResult<Self> {
        let mut value = Self::default();
        let end = input.begin_sized()?;
        if input.has_more(&end) {
            value.name = input.read()?;
        }
        if input.has_more(&end) {
            value.next = input.read()?;
        }
        if input.has_more(&end) {
            value.children = input.read()?;
        }
        input.end_sized(end)?;
        Ok(value)
    }
}

/// The older form of `Tree`.
#[derive(Debug, Default, PartialEq)]
struct Leaf {
    name: String,
}

impl Structure for Leaf {
    const DESCRIPTOR: &'static str = "Tree";

    fn encode_fields(&self, out: &mut Encoder) -> ParcelResult<()> {
        out.sized(|out| out.write(&self.name))
    }

    fn decode_fields(input: &mut Decoder<'_>) -> ParcelResult<Self> {
        let mut value = Self::default();
        let end = input.begin_sized()?;
        if input.has_more(&end) {
            value.name = input.read()?;
        }
        input.end_sized(end)?;
        Ok(value)
    }
}

aidl_enum! {
    /// Backed by a byte.
    Kind : i8 { SMALL = 0, LARGE = -7, }
}

aidl_enum! {
    /// Backed by a long.
    Stamp : i64 { NEVER = 0, EVER = 1 << 40, }
}

fn encode<T: Value>(value: &T) -> Encoder {
    let mut out = Encoder::default();
    out.write(value).unwrap();
    out
}

fn decode<T: Value>(source: &Encoder) -> ParcelResult<T> {
    Decoder::new(source).read()
}

fn raw(words: &[i32]) -> Encoder {
    let mut out = Encoder::default();
    for word in words {
        out.parcel().write_i32(*word);
    }
    out
}

#[test]
fn newer_fields_are_skipped_and_older_senders_leave_defaults() {
    let tree = Tree {
        name: "a".into(),
        next: Some(Box::default()),
        children: vec![Tree::default()],
    };
    let leaf: Leaf = decode(&encode(&tree)).unwrap();
    assert_eq!(leaf, Leaf { name: "a".into() });
    let tree: Tree = decode(&encode(&leaf)).unwrap();
    assert_eq!((tree.next, tree.children.len()), (None, 0));
}

#[test]
fn nesting_is_bounded() {
    let levels = 20_000;
    let mut words = Vec::new();
    for level in 0..levels {
        words.extend([1, 4 * (4 * (levels - level) - 1), 0, 0]);
    }
    assert_eq!(decode::<Tree>(&raw(&words)), Err(StatusCode::BAD_VALUE));
}

#[test]
fn sizes_of_parcelables_are_checked() {
    for size in [-1, 0, 3, 1000, i32::MAX, i32::MIN] {
        let found = decode::<Leaf>(&raw(&[1, size, 0, 0]));
        assert_eq!(found, Err(StatusCode::BAD_VALUE), "size {size}");
    }
    // The name reaches beyond the size.
    assert_eq!(
        decode::<Leaf>(&raw(&[1, 8, 1, 0x41])),
        Err(StatusCode::BAD_VALUE)
    );
}

#[test]
fn lengths_are_checked_before_memory_is_reserved() {
    for length in [-2, i32::MIN, 1000, i32::MAX] {
        assert!(decode::<Vec<i64>>(&raw(&[length, 0])).is_err());
        assert!(decode::<Vec<u8>>(&raw(&[length, 0])).is_err());
        assert!(decode::<Vec<Kind>>(&raw(&[length, 0])).is_err());
        assert!(decode::<Vec<Tree>>(&raw(&[length, 0])).is_err());
        assert!(decode::<[i32; 2]>(&raw(&[length, 0, 0])).is_err());
    }
    assert_eq!(decode::<[i32; 2]>(&raw(&[2, 7, 8])), Ok([7, 8]));
    assert_eq!(
        decode::<Vec<i32>>(&raw(&[-1])),
        Err(StatusCode::UNEXPECTED_NULL)
    );
    assert_eq!(decode::<Option<Vec<i32>>>(&raw(&[-1])), Ok(None));
}

#[test]
fn the_length_of_an_out_array_is_bounded() {
    let asked = |length| Decoder::new(&raw(&[length])).read_out_array::<i32>();
    assert_eq!(asked(-1), Ok(None));
    assert_eq!(asked(2), Ok(Some(vec![0, 0])));
    assert_eq!(asked(-2), Err(StatusCode::BAD_VALUE));
    assert_eq!(asked(153_601), Err(StatusCode::BAD_VALUE));
    assert_eq!(asked(i32::MAX), Err(StatusCode::BAD_VALUE));
}

#[test]
fn enums_of_bytes_are_packed_in_arrays_and_keep_unknown_numbers() {
    let values = vec![Kind::LARGE, Kind(99), Kind::SMALL];
    let mut out = encode(&values);
    assert_eq!(out.parcel().data(), [3, 0, 0, 0, 0xf9, 99, 0, 0]);
    assert_eq!(decode::<Vec<Kind>>(&out), Ok(values));
    assert_eq!(encode(&Kind::LARGE).parcel().data(), (-7_i32).to_le_bytes());
    let stamps = vec![Stamp::EVER, Stamp(-1)];
    assert_eq!(decode::<Vec<Stamp>>(&encode(&stamps)), Ok(stamps));
}

#[test]
fn any_bytes_are_a_value_or_an_error() {
    let mut state = 1_u64;
    for _ in 0..20_000 {
        let mut words = [0_i32; 12];
        for word in &mut words {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // Small numbers mostly: they are lengths and sizes.
            *word = (state >> 33) as i32 % if state & 0x600 == 0 { i32::MAX } else { 50 };
        }
        let source = raw(&words);
        let _tree = decode::<Tree>(&source);
        let _texts = decode::<Vec<Option<String>>>(&source);
        let _grid = decode::<[[Kind; 2]; 2]>(&source);
    }
}

#[test]
fn what_is_written_is_what_android_writes() {
    let mut out = encode(&Leaf { name: "ab".into() });
    let expected = [1, 16, 2, 0x0062_0061, 0];
    let mut parcel = Parcel::new();
    for word in expected {
        parcel.write_i32(word);
    }
    assert_eq!(out.parcel().data(), parcel.data());
}
