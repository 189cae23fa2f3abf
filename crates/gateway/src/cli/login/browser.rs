//! Opens the user's browser.

use std::io::IsTerminal as _;
use std::process::{Command, Stdio};

/// Opens `url`, which is a `https` or `http` URL of visible ASCII, if there is a browser and somebody to see it. Whether that
/// works nobody can say: the address has been printed.
pub(super) fn open(url: &str) {
    let environment = isthmus_config::Environment::of_process();
    let display = ["DISPLAY", "WAYLAND_DISPLAY"];
    let sees = display
        .iter()
        .any(|name| environment.get(name).is_some_and(|value| !value.is_empty()));
    let web = url.starts_with("https://") || url.starts_with("http://");
    if !web || !std::io::stdout().is_terminal() || !(cfg!(target_os = "macos") || sees) {
        return;
    }
    // One argument for a program and no shell: whatever stands in the address stays an address (S9).
    let opened = Command::new(PROGRAM)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = opened {
        tracing::debug!(%error, "no browser can be opened");
    }
}

const PROGRAM: &str = if cfg!(target_os = "macos") {
    "open"
} else {
    "xdg-open"
};
