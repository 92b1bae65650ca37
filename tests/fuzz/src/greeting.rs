//! The line with which a worker begins, behind whatever a login shell printed.

use protocol::MAX_PREAMBLE;
use protocol::greeting::{GreetingScan, scan};

use crate::cut::cut;

/// The first byte says how the rest is cut, the second one how much stands before
/// it: nothing, or about as much as may.
pub fn greeting(data: &[u8]) {
    let [seed, pad, printed @ ..] = data else {
        return;
    };
    // Seldom, since that much takes its time.
    let pad = match pad.checked_sub(192) {
        None => 0,
        Some(n) => MAX_PREAMBLE - 32 + usize::from(n),
    };
    let mut whole = vec![b'x'; pad];
    whole.extend_from_slice(printed);
    let expected = scan(&whole);
    if let GreetingScan::Found(greeting) = expected {
        assert!(greeting.start <= MAX_PREAMBLE);
        let line = &whole[greeting.start..greeting.end];
        let line = std::str::from_utf8(line).expect("it is text");
        let version = line.trim_end().rsplit(' ').next().expect("it has words");
        assert!(line.starts_with("orchestrator-worker protocol ") && line.ends_with('\n'));
        assert_eq!(version.parse(), Ok(greeting.version));
    }
    let mut received = pad;
    let mut said = scan(&whole[..received]);
    // All is looked at again with every piece: of much, a few larger ones.
    let seed = if pad > 0 { seed | 0xc0 } else { *seed };
    for piece in cut(printed, seed) {
        if said != GreetingScan::NeedMore {
            break;
        }
        received += piece.len();
        said = scan(&whole[..received]);
    }
    assert_eq!(said, expected, "after {received} of {} bytes", whole.len());
}
