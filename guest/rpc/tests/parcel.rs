//! Parcels against the vectors of Android's libbinder, and against hostile bytes.

mod support;

use microbuild_rpc::{Exception, Parcel, StatusCode};
use support::{corpus, Numbers};

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// A parcel of ours for one line of the vector file, `None` for what RPC interfaces cannot say.
fn encode(op: &str, arg: &str) -> Option<Parcel> {
    let mut p = Parcel::new();
    let null = arg.ends_with("(std::nullopt)");
    let empty = arg.ends_with("({})");
    match op {
        // Neither is an AIDL type: strings of 8 bit units exist in C++ only.
        "writeCString" | "writeString8" => return None,
        "writeInterfaceToken" => p = Parcel::request("tok"),
        "writeInt32" => p.write_i32(arg.parse().unwrap()),
        "writeUint32" => p.write_u32(arg.parse().unwrap()),
        "writeInt64" => p.write_i64(arg.parse().unwrap()),
        "writeUint64" => p.write_u64(arg.parse().unwrap()),
        "writeFloat" => p.write_f32(arg.trim_end_matches('f').parse().unwrap()),
        "writeDouble" => p.write_f64(arg.parse().unwrap()),
        "writeBool" => p.write_bool(arg.parse().unwrap()),
        "writeByte" => p.write_byte(arg.parse().unwrap()),
        "writeChar" => p.write_char(match arg.trim_matches('\'') {
            "\\0" => 0,
            unit => unit.encode_utf16().next().unwrap(),
        }),
        "writeStrongBinder" => p.write_null_binder(),
        "writeNoException" => p.write_status(Ok(())),
        "writeString16" | "writeUtf8AsUtf16" if null || arg == "std::nullopt" => {
            p.write_optional_str(None)
        }
        "writeString16" | "writeUtf8AsUtf16" => p.write_str(arg.split('"').nth(1).unwrap()),
        "writeNullableParcelable" if null => p.write_i32(0),
        "writeNullableParcelable" | "writeParcelable" => {
            p.write_i32(1);
            p.write_i32(37);
        }
        "statusWriteToParcel" => match arg.split('(').next().unwrap() {
            "binder::Status::ok" => p.write_status(Ok(())),
            "binder::Status::fromExceptionCode" => p.write_status(Err(&Exception::new(7, ":D"))),
            _ => p.write_status(Err(&Exception::service_specific(8, ":/"))),
        },
        "writeVectorSize" if null => p.write_null(),
        "writeVectorSize" => p.write_length(if empty { 0 } else { 3 }),
        _ if null => p.write_null(),
        _ if empty => p.write_length(0),
        "writeInt32Array" => p.write_i32_array(&[-1, 0, 17]),
        "writeByteArray" => p.write_bytes(&[0, 17, 255]),
        "writeByteVector" if arg.contains("-1") => p.write_bytes(&[255, 0, 17]),
        "writeByteVector" => p.write_bytes(&[0, 1, 17]),
        "writeInt32Vector" => p.write_i32_array(&[-1, 0, 17]),
        "writeInt64Vector" => p.write_i64_array(&[-1, 0, 17]),
        "writeUint64Vector" => p.write_u64_array(&[0, 1, 17]),
        "writeFloatVector" => p.write_f32_array(&[0.0, 0.1, 9.1]),
        "writeDoubleVector" => p.write_f64_array(&[0.0, 0.1, 9.1]),
        "writeBoolVector" => p.write_bool_array(&[true, false]),
        "writeCharVector" => p.write_char_array(&[97, 0, 63]),
        "writeString16Vector" | "writeUtf8VectorAsUtf16Vector" => {
            p.write_str_array(&[None, Some(""), Some("a")])
        }
        "writeStrongBinderVector" => {
            p.write_length(1);
            p.write_null_binder();
        }
        "writeEnumVector" if arg.contains("Int8") => p.write_bytes(&[0, 1]),
        "writeEnumVector" if arg.contains("Int32") => p.write_i32_array(&[0, 1]),
        "writeEnumVector" => p.write_i64_array(&[0, 1]),
        "writeParcelableVector" => {
            p.write_length(1);
            p.write_i32(1);
            p.write_i32(37);
        }
        _ => panic!("no such operation here: {op}"),
    }
    Some(p)
}

#[test]
fn parcels_equal_libbinders_golden_bytes() {
    let Some(path) = corpus("binder/parcel_golden_v0_v1.json") else {
        return;
    };
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut compared = 0;
    for vector in file["vectors"].as_array().unwrap() {
        let text = |key: &str| vector[key].as_str().unwrap().to_owned();
        let (op, arg) = (text("op"), text("arg"));
        if let Some(ours) = encode(&op, &arg) {
            compared += 1;
            assert_eq!(ours.data(), unhex(&text("hex")), "{op}({arg})");
        }
    }
    assert!(compared > 0);
}

#[test]
fn a_reader_returns_what_was_written() {
    let mut p = Parcel::request("a.b.IC");
    p.write_i32(-5);
    p.write_i64(i64::MIN);
    p.write_f64(0.1);
    p.write_bool(true);
    p.write_char(0xffff);
    p.write_byte(-128);
    p.write_str("h\u{e9}llo\u{1f600}\0!");
    p.write_optional_str(None);
    p.write_bytes(&[1, 2, 3]);
    p.write_u64_array(&[1, u64::MAX]);
    p.write_str_array(&[None, Some("x")]);
    p.write_null_binder();
    let mut r = p.reader();
    r.enforce_interface("a.b.IC").unwrap();
    assert_eq!(r.read_i32(), Ok(-5));
    assert_eq!(r.read_i64(), Ok(i64::MIN));
    assert_eq!(r.read_f64(), Ok(0.1));
    assert_eq!(r.read_bool(), Ok(true));
    assert_eq!(r.read_char(), Ok(0xffff));
    assert_eq!(r.read_byte(), Ok(-128));
    assert_eq!(r.read_string(), Ok("h\u{e9}llo\u{1f600}\0!".into()));
    assert_eq!(r.read_optional_string(), Ok(None));
    assert_eq!(r.read_bytes(), Ok(&[1, 2, 3][..]));
    assert_eq!(r.read_u64_array(), Ok(Some(vec![1, u64::MAX])));
    assert_eq!(
        r.read_string_array(),
        Ok(Some(vec![None, Some("x".into())]))
    );
    assert_eq!(r.read_binder(), Ok(None));
    assert_eq!(r.remaining(), 0);
    assert_eq!(r.read_i32(), Err(StatusCode::NOT_ENOUGH_DATA));
}

#[test]
fn writing_at_an_earlier_position_replaces_and_keeps_what_follows() {
    let mut p = Parcel::new();
    p.write_i32(0);
    p.write_str("body");
    let end = p.position();
    p.set_position(0).unwrap();
    p.write_i32(end as i32);
    assert_eq!(p.set_position(end + 1), Err(StatusCode::BAD_VALUE));
    p.set_position(end).unwrap();
    p.write_i32(9);
    let mut r = p.reader();
    assert_eq!(
        (r.read_i32(), r.read_string(), r.read_i32()),
        (Ok(end as i32), Ok("body".into()), Ok(9))
    );
}

#[test]
fn exceptions_survive_the_trip_and_unknown_headers_are_skipped() {
    for exception in [
        Exception::new(-3, "bad"),
        Exception::service_specific(77, "boom"),
        Exception::new(-9, ""),
    ] {
        let mut p = Parcel::new();
        p.write_status(Err(&exception));
        let mut r = p.reader();
        assert_eq!(r.read_status(), Ok(Err(exception)));
        assert_eq!(r.remaining(), 0);
    }
    // A reply header of 12 bytes, then the result.
    let mut p = Parcel::new();
    for word in [Exception::HAS_REPLY_HEADER, 12, 1, 2, 5] {
        p.write_i32(word);
    }
    let mut r = p.reader();
    assert_eq!((r.read_status(), r.read_i32()), (Ok(Ok(())), Ok(5)));
    // A remote stack trace of 8 bytes before the service's error number.
    let mut p = Parcel::new();
    p.write_i32(Exception::SERVICE_SPECIFIC);
    p.write_str("m");
    for word in [8, 0, 42] {
        p.write_i32(word);
    }
    assert_eq!(
        p.reader().read_status(),
        Ok(Err(Exception::service_specific(42, "m")))
    );
}

#[test]
fn lengths_beyond_the_parcel_are_refused_before_memory_is_reserved() {
    for length in [i32::MAX, 2, 0x4000_0000, -2, i32::MIN] {
        let mut p = Parcel::new();
        p.write_i32(length);
        p.write_i32(0x0061_0061);
        assert!(p.reader().read_string().is_err(), "{length}");
        assert!(p.reader().read_i64_array().is_err(), "{length}");
        assert!(p.reader().read_string_array().is_err(), "{length}");
        assert!(length == 2 || p.reader().read_bytes().is_err(), "{length}");
    }
    // One unit fits, its terminator is missing.
    let mut p = Parcel::new();
    p.write_i32(1);
    p.write_i32(0x0061_0061);
    assert_eq!(p.reader().read_string(), Err(StatusCode::BAD_VALUE));
    // A surrogate alone is not text.
    let mut p = Parcel::new();
    p.write_utf16(&[0xd800]);
    assert_eq!(p.reader().read_string(), Err(StatusCode::BAD_VALUE));
    assert_eq!(p.reader().read_optional_utf16(), Ok(Some(vec![0xd800])));
}

#[test]
fn random_bytes_read_as_values_or_errors_and_never_move_past_the_end() {
    let mut numbers = Numbers(0x5eed);
    for _ in 0..20_000 {
        let mut p = Parcel::new();
        let words = numbers.below(24);
        for _ in 0..words {
            // Small numbers look like lengths, which is where a reader goes wrong.
            p.write_i32(if numbers.below(2) == 0 {
                numbers.below(9) as i32 - 2
            } else {
                numbers.next() as i32
            });
        }
        let mut r = p.reader();
        for _ in 0..8 {
            let before = r.position();
            match numbers.below(12) {
                0 => drop(r.read_i32()),
                1 => drop(r.read_u64()),
                2 => drop(r.read_string()),
                3 => drop(r.read_bytes()),
                4 => drop(r.read_i32_array()),
                5 => drop(r.read_i64_array()),
                6 => drop(r.read_bool_array()),
                7 => drop(r.read_string_array()),
                8 => drop(r.read_binder()),
                9 => drop(r.read_status()),
                10 => drop(r.read_f64_array()),
                _ => drop(r.enforce_interface("tok")),
            }
            assert!(before <= r.position() && r.position() <= r.size());
        }
    }
}
