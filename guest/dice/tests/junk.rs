//! Bytes of which nothing is true: a handover is refused or decoded, and the machine goes on.

use microbuild_dice::Handover;

fn handover() -> Vec<u8> {
    Handover::root(&[7; 32]).encode().to_vec()
}

#[test]
fn every_prefix_and_every_flipped_bit_is_refused_or_decoded() {
    let whole = handover();
    assert!(Handover::decode(&whole).is_ok());
    for size in 0..whole.len() {
        assert!(Handover::decode(&whole[..size]).is_err(), "{size} bytes");
    }
    for bit in 0..whole.len() * 8 {
        let mut changed = whole.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let attest = 5 * 8..37 * 8;
        let decoded = Handover::decode(&changed);
        // The chain leads to the attestation secret's key; only the sealing secret stands for itself.
        if attest.contains(&bit) {
            assert!(decoded.is_err(), "bit {bit}");
        }
        if let Ok(decoded) = decoded {
            assert_eq!(decoded.encode().as_slice(), changed, "bit {bit}");
        }
    }
}

#[test]
fn handover_of_another_machine_is_refused() {
    let (own, other) = (handover(), Handover::root(&[8; 32]).encode().to_vec());
    let mut mixed = own.clone();
    mixed[4..4 + 33].copy_from_slice(&other[4..4 + 33]);
    assert!(Handover::decode(&mixed).is_err());
}
