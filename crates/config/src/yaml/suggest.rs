//! Did you mean …?

/// The candidate that `text` is most likely a misspelling of.
pub(crate) fn suggest<'a>(
    text: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wrong: Vec<char> = text.chars().take(LONGEST + 1).collect();
    if wrong.len() > LONGEST {
        return None;
    }
    let allowed = wrong.len().div_ceil(3).min(3);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let right: Vec<char> = candidate.chars().take(LONGEST).collect();
            let distance = distance(&wrong, &right);
            (distance <= allowed && distance < right.len()).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters have to be typed, taken out, replaced or swapped (optimal string alignment, case ignored).
fn distance(a: &[char], b: &[char]) -> usize {
    let same = |x: char, y: char| x.eq_ignore_ascii_case(&y) || (x == '-' && y == '_');
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(!same(a[i - 1], b[j - 1]));
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]) {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// Longer texts are not names that somebody mistyped.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_candidate_is_suggested_if_it_is_near() {
        let keys = ["stdio", "http", "sse", "allowed_hosts"];
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(suggest(text, keys), expected, "{text}");
        };
        check("htttp", Some("http"));
        check("hhtp", Some("http"));
        check("HTTP", Some("http"));
        check("allowed-hosts", Some("allowed_hosts"));
        check("allowedHosts", Some("allowed_hosts"));
        check("socket", None);
        check("x", None);
        check("", None);
    }
}
