//! Ranges of addresses.

use std::fmt;
use std::net::IpAddr;

/// Addresses with a common beginning, such as `10.0.0.0/8`; one address is such a range too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`, `2001:db8::/32` or one address. What stands behind the prefix has to be zero: whoever writes
    /// `10.0.0.7/8` may mean either.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => {
                let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
                (address, Some(prefix.parse().ok().filter(|_| digits)?))
            }
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let prefix = prefix.unwrap_or_else(|| width(address));
        let network = Self { address, prefix };
        let beyond = bits(address) & network.mask() != bits(address);
        (prefix <= width(address) && !beyond).then_some(network)
    }

    /// Whether `address` is in the range. An IPv4 address that an IPv6 socket shows (`::ffff:…`) is an IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && bits(address) & self.mask() == bits(self.address)
    }

    /// The bits that addresses of the range have in common.
    fn mask(&self) -> u128 {
        let free = u32::from(width(self.address).saturating_sub(self.prefix));
        u128::MAX.checked_shl(free).unwrap_or_default()
    }
}

const fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_the_addresses_that_begin_as_it_does() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.7", "::ffff:192.0.2.7", "::192.0.2.7"),
            ("192.0.2.6/31", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "255.255.255.255", "::"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "ffff::", "10.0.0.1"),
            ("::1", "::1", "::2"),
        ] {
            let network = Network::parse(range).unwrap();
            assert!(
                network.contains(inside.parse().unwrap()),
                "{range} {inside}"
            );
            assert!(
                !network.contains(outside.parse().unwrap()),
                "{range} {outside}"
            );
        }
    }

    #[test]
    fn what_could_mean_something_else_is_no_range() {
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.7/8",
            "::1/64",
            "::/129",
            "10/8",
            "10.0.0.0/8/8",
            "localhost",
            "10.0.0.0/999",
            "010.0.0.0/8",
        ] {
            assert!(Network::parse(text).is_none(), "{text}");
        }
    }
}
