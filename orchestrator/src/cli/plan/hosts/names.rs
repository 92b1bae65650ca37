//! Names of hosts, as GNU parallel and Slurm write them. Pure.

use super::super::super::errors::Message;
use crate::run::text;

/// More would be a slip of the keyboard.
const MOST: usize = 100_000;

/// A host, and how many jobs it runs at once, if that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: Vec<u8>,
    pub(super) slots: Option<usize>,
}

/// The hosts of a list like `16/h1,user@h2,h[3-5],:`.
///
/// # Errors
/// When it is none.
pub(super) fn hosts_of(list: &[u8]) -> Result<Vec<Host>, Message> {
    let mut hosts = Vec::new();
    for word in pieces(list) {
        let word = word.trim_ascii();
        if word.is_empty() {
            continue;
        }
        let (slots, name) = match word.iter().position(|&byte| byte == b'/') {
            Some(at) => (Some(&word[..at]), &word[at + 1..]),
            None => (None, word),
        };
        let shown = || text::quoted(word);
        let slots = match slots {
            None => None,
            Some(digits) => {
                let number = std::str::from_utf8(digits)
                    .ok()
                    .and_then(|d| d.parse().ok());
                match number {
                    Some(number @ 1..=65_536) => Some(number),
                    _ => {
                        return Err(Message::new(format!(
                            "host {}: before the slash stands how many jobs run there at once, 1 to \
                             65,536",
                            shown()
                        ))
                        .tip("for example: --hosts 16/h1,h2"));
                    }
                }
            }
        };
        if name.starts_with(b"-") || name.is_empty() {
            return Err(Message::new(format!("host {} has no name", shown())));
        }
        if name.iter().any(u8::is_ascii_whitespace) {
            return Err(
                Message::new(format!("host {} has a space in its name", shown()))
                    .tip("how hosts are reached is said for all of them: --ssh 'ssh -p 2222'"),
            );
        }
        for name in expand(name)? {
            hosts.push(Host { name, slots });
        }
    }
    Ok(hosts)
}

/// Each host once. One that is named several times without a number runs so many at once:
/// that is how schedulers write it.
pub(super) fn merged(hosts: Vec<Host>) -> Vec<Host> {
    let mut all: Vec<(Host, usize)> = Vec::new();
    for host in hosts {
        match all.iter_mut().find(|(known, _)| known.name == host.name) {
            None => all.push((host, 1)),
            Some((known, times)) => {
                *times += 1;
                known.slots = match (known.slots, host.slots) {
                    (None, None) => None,
                    (a, b) => Some(a.unwrap_or(*times - 1) + b.unwrap_or(1)),
                };
            }
        }
    }
    all.into_iter()
        .map(|(host, times)| Host {
            slots: host.slots.or((times > 1).then_some(times)),
            ..host
        })
        .collect()
}

/// What stands between commas that are not in brackets.
fn pieces(list: &[u8]) -> Vec<&[u8]> {
    let (mut pieces, mut begin, mut deep) = (Vec::new(), 0, 0_usize);
    for (at, byte) in list.iter().enumerate() {
        match byte {
            b'[' => deep += 1,
            b']' => deep = deep.saturating_sub(1),
            b',' if deep == 0 => {
                pieces.push(&list[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&list[begin..]);
    pieces
}

/// The names of a list like `n[1-3,07-09]x,m`.
///
/// # Errors
/// When brackets make no sense.
pub(super) fn expand(list: &[u8]) -> Result<Vec<Vec<u8>>, Message> {
    let mut all = Vec::new();
    for piece in pieces(list) {
        let mut names: Vec<Vec<u8>> = vec![Vec::new()];
        let mut rest = piece;
        while let Some(open) = rest.iter().position(|&byte| byte == b'[') {
            let close = rest.iter().position(|&byte| byte == b']');
            let wrong = || {
                let shown = text::quoted(piece);
                Message::new(format!(
                    "{shown}: brackets hold numbers and ranges of them: h[1-3,7]"
                ))
            };
            let close = close.filter(|&close| close > open).ok_or_else(wrong)?;
            let numbers = numbers(&rest[open + 1..close]).ok_or_else(wrong)?;
            if all.len() + names.len().saturating_mul(numbers.len()) > MOST {
                return Err(wrong());
            }
            names = names
                .iter()
                .flat_map(|name| {
                    numbers
                        .iter()
                        .map(move |n| [name, &rest[..open], n].concat())
                })
                .collect();
            rest = &rest[close + 1..];
        }
        names
            .iter_mut()
            .for_each(|name| name.extend_from_slice(rest));
        all.extend(names);
    }
    Ok(all)
}

/// The numbers of a list like `1-3,07`, each as wide as it was written.
fn numbers(list: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for piece in std::str::from_utf8(list).ok()?.split(',') {
        let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
        let width = first.len();
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(first) || !digits(last) {
            return None;
        }
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        if last < first || last - first >= MOST as u64 {
            return None;
        }
        all.extend((first..=last).map(|n| format!("{n:0width$}").into_bytes()));
    }
    Some(all)
}

/// How many CPUs each node of an allocation has: `16(x3),8`.
pub(super) fn cpus_per_node(list: &[u8]) -> Vec<usize> {
    let mut all = Vec::new();
    for piece in String::from_utf8_lossy(list).split(',') {
        let (cpus, times) = match piece.split_once("(x") {
            Some((cpus, times)) => (cpus, times.trim_end_matches(')').parse().unwrap_or(1)),
            None => (piece, 1),
        };
        match cpus.parse::<usize>() {
            Ok(cpus) if times <= MOST => all.extend(std::iter::repeat_n(cpus, times)),
            // Then nothing is known of the others either.
            _ => return all,
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(list: &str) -> Vec<(String, Option<usize>)> {
        let hosts = merged(hosts_of(list.as_bytes()).unwrap());
        let text = |host: Host| (String::from_utf8(host.name).unwrap(), host.slots);
        hosts.into_iter().map(text).collect()
    }

    fn expanded(list: &str) -> Vec<String> {
        let names = expand(list.as_bytes()).unwrap();
        names
            .into_iter()
            .map(|name| String::from_utf8(name).unwrap())
            .collect()
    }

    #[test]
    fn a_list_of_hosts_is_as_in_gnu_parallel() {
        assert_eq!(
            hosts("16/h1, me@h2,:,,2/n[08-10]"),
            [
                ("h1".into(), Some(16)),
                ("me@h2".into(), None),
                (":".into(), None),
                ("n08".into(), Some(2)),
                ("n09".into(), Some(2)),
                ("n10".into(), Some(2)),
            ]
        );
        // The file that PBS gives.
        assert_eq!(
            hosts("a,a,a,b,2/c,c"),
            [
                ("a".into(), Some(3)),
                ("b".into(), None),
                ("c".into(), Some(3)),
            ]
        );
        assert!(hosts("").is_empty());
    }

    #[test]
    fn what_is_no_host_is_told() {
        for (list, said) in [
            ("0/h1", "host `0/h1`: before the slash stands how many"),
            ("x/h1", "host `x/h1`: before the slash"),
            ("4/", "host `4/` has no name"),
            ("-oProxyCommand=x", "has no name"),
            ("ssh -p 2 h", "has a space in its name"),
            ("h[1-", "brackets hold numbers"),
            ("h[3-1]", "brackets hold numbers"),
            ("h[1-99999999]", "brackets hold numbers"),
            ("h[1-9999][1-9999]", "brackets hold numbers"),
        ] {
            let message = hosts_of(list.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(said), "{list}: {message}");
        }
    }

    #[test]
    fn lists_of_slurm_are_read() {
        assert_eq!(
            expanded("n[1-2,07],m,r[1-2]c[3-4]x"),
            ["n1", "n2", "n07", "m", "r1c3x", "r1c4x", "r2c3x", "r2c4x"]
        );
        assert_eq!(cpus_per_node(b"16(x3),8"), [16, 16, 16, 8]);
        assert!(cpus_per_node(b"").is_empty());
    }
}
