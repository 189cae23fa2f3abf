//! Who is asking where proxies stand between: `Forwarded` (RFC 7239) and `X-Forwarded-For`.
//!
//! Anybody can send these headers, so they say something only where a listed proxy sent them: of the addresses in them,
//! the last that no listed proxy has is whom the nearest of them saw. Nothing else is taken from such headers, above all
//! no host: what the gateway is called stands in the config.

use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, StatusCode};
use isthmus_config::Network;

use crate::answer::TurnedAway;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of whoever is asking: that of the connection, or what the proxy at its other end says. `None`: the proxy
/// does not say it.
///
/// # Errors
///
/// If both headers are there and name different clients. A proxy writes one of them and hands the other on as the client
/// wrote it; which is which cannot be seen.
pub(crate) fn client_address(
    peer: Option<SocketAddr>,
    headers: &HeaderMap,
    trusted: &[Network],
) -> Result<Option<SocketAddr>, TurnedAway> {
    let is_proxy = |ip: IpAddr| trusted.iter().any(|network| network.contains(ip));
    let Some(proxy) = peer.filter(|peer| is_proxy(peer.ip())) else {
        return Ok(peer);
    };
    let said = [
        (FORWARDED, forwarded_for as fn(&str) -> Option<SocketAddr>),
        (X_FORWARDED_FOR, address),
    ]
    .map(|(name, read)| {
        let hops = hops(headers, &name, read)?;
        Some(seen_by(proxy, &hops, is_proxy))
    });
    match said {
        [Some(one), Some(other)] if ip(one) != ip(other) => Err(TurnedAway::new(
            StatusCode::BAD_REQUEST,
            "`Forwarded` and `X-Forwarded-For` name different clients",
        )),
        [Some(client), _] | [None, Some(client)] => Ok(client),
        [None, None] => Ok(peer),
    }
}

fn ip(address: Option<SocketAddr>) -> Option<IpAddr> {
    address.map(|address| address.ip())
}

/// What `headers` say under `name`, the nearest hop last; `None` if they say nothing, a hop that cannot be read is one.
fn hops(
    headers: &HeaderMap,
    name: &HeaderName,
    read: fn(&str) -> Option<SocketAddr>,
) -> Option<Vec<Option<SocketAddr>>> {
    let mut values = headers.get_all(name).iter().peekable();
    values.peek()?;
    let texts = values.map(|value| value.to_str().unwrap_or_default());
    Some(
        texts
            .flat_map(|text| text.split(',').map(|hop| read(hop.trim())))
            .collect(),
    )
}

/// The last of `hops` that is no proxy of ours, else the first of all.
fn seen_by(
    proxy: SocketAddr,
    hops: &[Option<SocketAddr>],
    is_proxy: impl Fn(IpAddr) -> bool,
) -> Option<SocketAddr> {
    let mut seen = Some(proxy);
    for hop in hops.iter().rev() {
        seen = *hop;
        if !seen.is_some_and(|address| is_proxy(address.ip())) {
            break;
        }
    }
    seen
}

/// The `for` of one element of `Forwarded`, such as `for="[2001:db8::1]:4711";proto=https`.
fn forwarded_for(element: &str) -> Option<SocketAddr> {
    let mut nodes = element.split(';').filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    });
    let (Some(node), None) = (nodes.next(), nodes.next()) else {
        return None;
    };
    let unquoted = node
        .strip_prefix('"')
        .and_then(|node| node.strip_suffix('"'));
    address(unquoted.unwrap_or(node))
}

/// An address with a port or without, IPv6 in brackets or without. `unknown` and made-up names are none.
fn address(text: &str) -> Option<SocketAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    text.parse().ok().or_else(|| {
        let ip: IpAddr = bare.unwrap_or(text).parse().ok()?;
        Some(SocketAddr::new(ip, 0))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(peer: &str, said: &[(&'static str, &'static str)]) -> Result<String, ()> {
        let trusted = ["10.0.0.0/8", "::1"].map(|text| Network::parse(text).unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in said {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let address = client_address(Some(peer.parse().unwrap()), &headers, &trusted);
        let shown = address.map_err(drop)?;
        Ok(shown.map_or_else(
            || "nobody knows".to_owned(),
            |address| address.ip().to_string(),
        ))
    }

    #[test]
    fn only_a_listed_proxy_says_who_is_asking() {
        let said = [
            ("x-forwarded-for", "192.0.2.1"),
            ("forwarded", "for=192.0.2.1"),
        ];
        assert_eq!(of("203.0.113.9:1", &said).unwrap(), "203.0.113.9");
        assert_eq!(of("10.0.0.1:1", &said).unwrap(), "192.0.2.1");
        assert_eq!(of("[::1]:1", &said).unwrap(), "192.0.2.1");
        assert_eq!(of("[::ffff:10.1.1.1]:1", &said).unwrap(), "192.0.2.1");
        assert_eq!(of("10.0.0.1:1", &[]).unwrap(), "10.0.0.1");
    }

    #[test]
    fn what_a_client_wrote_itself_stands_before_what_a_proxy_saw_and_is_not_believed() {
        for (text, client) in [
            ("127.0.0.1, 192.0.2.1", "192.0.2.1"),
            ("127.0.0.1, 192.0.2.1, 10.0.0.2, 10.0.0.3", "192.0.2.1"),
            ("10.0.0.2, 10.0.0.3", "10.0.0.2"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("192.0.2.1, unknown", "nobody knows"),
            ("192.0.2.1, evil\" 10.0.0.2", "nobody knows"),
            ("192.0.2.1,", "nobody knows"),
            ("", "nobody knows"),
        ] {
            let said = [("x-forwarded-for", text)];
            assert_eq!(of("10.0.0.1:1", &said).unwrap(), client, "{text}");
        }
        let lines = [
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-for", "192.0.2.1"),
        ];
        assert_eq!(of("10.0.0.1:1", &lines).unwrap(), "192.0.2.1");
    }

    #[test]
    fn the_standard_header_is_read_as_it_is_written() {
        for (text, client) in [
            ("for=192.0.2.1", "192.0.2.1"),
            (
                "For=\"[2001:db8::1]:4711\";proto=https;by=10.0.0.1",
                "2001:db8::1",
            ),
            (
                "for=127.0.0.1, proto=http;FOR=192.0.2.1;host=evil.example",
                "192.0.2.1",
            ),
            ("for=127.0.0.1, for=192.0.2.1, for=10.0.0.2", "192.0.2.1"),
            ("for=_hidden", "nobody knows"),
            ("for=unknown, for=10.0.0.2", "nobody knows"),
            ("for=192.0.2.1;for=192.0.2.2", "nobody knows"),
            ("by=192.0.2.1", "nobody knows"),
            ("for=\"192.0.2.1", "nobody knows"),
        ] {
            let said = [("forwarded", text)];
            assert_eq!(of("10.0.0.1:1", &said).unwrap(), client, "{text}");
        }
    }

    #[test]
    fn headers_that_contradict_each_other_are_refused() {
        let said = [
            ("x-forwarded-for", "192.0.2.1"),
            ("forwarded", "for=127.0.0.1"),
        ];
        assert!(of("10.0.0.1:1", &said).is_err());
        assert!(of("203.0.113.9:1", &said).is_ok());
    }
}
