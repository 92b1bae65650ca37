//! Who is let in.
//!
//! The page is for browsers on this machine. A stranger's page in such a browser may ask as
//! well, by a name that it has pointed here: so whoever asks has to call this server by one of
//! its own names, and a page that asks has to come from here.

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// What an answer may do in a browser, unless it says so itself: nothing.
const NOTHING: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Lets in who may come in.
pub(super) async fn guard(
    State(address): State<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let refused = match (request.method(), stranger(request.headers(), address)) {
        (_, Some(why)) => Some((StatusCode::FORBIDDEN, why)),
        (&Method::GET | &Method::HEAD, None) => None,
        _ => Some((
            StatusCode::METHOD_NOT_ALLOWED,
            "this page is only to be looked at\n",
        )),
    };
    let mut response = match refused {
        Some(refused) => refused.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(NOTHING));
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Why whoever asks is not let in, if so.
fn stranger(headers: &HeaderMap, address: SocketAddr) -> Option<&'static str> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Some("a request needs one Host\n");
    };
    if !is_own(host.as_bytes(), address) {
        return Some("the Host is not this server's: open the address that the run has printed\n");
    }
    let is_ours = |origin: &HeaderValue| {
        let name = origin.as_bytes().strip_prefix(b"http://");
        name.is_some_and(|name| is_own(name, address))
    };
    if !headers.get_all(ORIGIN).iter().all(is_ours) {
        return Some("the Origin is not this server's\n");
    }
    // Of a request without an Origin, such as for an image, a browser says where it comes from.
    let said = |name| headers.get(name).map(HeaderValue::as_bytes);
    match (said("sec-fetch-site"), said("sec-fetch-mode")) {
        (None | Some(b"same-origin" | b"none"), _) => None,
        // A link to here is followed.
        (Some(_), Some(b"navigate")) if said("sec-fetch-dest") == Some(b"document") => None,
        _ => Some("another site asks\n"),
    }
}

/// Whether this is a name of the server at this address.
fn is_own(name: &[u8], address: SocketAddr) -> bool {
    let port = address.port();
    let own = [
        address.ip().to_string(),
        format!("[{}]", address.ip()),
        "localhost".to_owned(),
    ];
    own.iter().any(|host| {
        let with_port = format!("{host}:{port}");
        name.eq_ignore_ascii_case(with_port.as_bytes())
            || port == 80 && name.eq_ignore_ascii_case(host.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(hosts: &[&str], more: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, host.parse().unwrap());
        }
        for (name, value) in more {
            headers.append(*name, value.parse().unwrap());
        }
        stranger(&headers, "127.0.0.1:4711".parse().unwrap()).is_none()
    }

    #[test]
    fn only_who_calls_the_server_by_its_name_is_let_in() {
        assert!(asks(&["127.0.0.1:4711"], &[]));
        assert!(asks(&["LocalHost:4711"], &[]));
        for host in [
            "127.0.0.1",
            "localhost",
            "127.0.0.1:4712",
            "127.0.0.2:4711",
            "evil.example:4711",
            "127.0.0.1:4711.evil.example",
            "127.0.0.1:04711",
            "",
            "evil@127.0.0.1:4711",
        ] {
            assert!(!asks(&[host], &[]), "{host}");
        }
        assert!(!asks(&[], &[]));
        assert!(!asks(&["127.0.0.1:4711", "evil.example"], &[]));
        assert!(is_own(b"[::1]:80", "[::1]:80".parse().unwrap()));
        assert!(is_own(b"[::1]", "[::1]:80".parse().unwrap()));
    }

    #[test]
    fn only_pages_from_here_are_let_in() {
        let own = &["127.0.0.1:4711"][..];
        assert!(asks(own, &[("origin", "http://localhost:4711")]));
        for origin in [
            "http://evil.example",
            "https://127.0.0.1:4711",
            "null",
            "http://127.0.0.1:80",
        ] {
            assert!(!asks(own, &[("origin", origin)]), "{origin}");
        }
        let own_and_other = [("origin", "http://localhost:4711"), ("origin", "null")];
        assert!(!asks(own, &own_and_other));
        assert!(asks(own, &[("sec-fetch-site", "same-origin")]));
        assert!(asks(own, &[("sec-fetch-site", "none")]));
        assert!(!asks(
            own,
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "no-cors")
            ]
        ));
        assert!(!asks(own, &[("sec-fetch-site", "same-site")]));
        let link = [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        assert!(asks(own, &link));
        assert!(!asks(
            own,
            &[link[0], link[1], ("sec-fetch-dest", "iframe")]
        ));
    }
}
