//! Which file is the config.

use std::path::{Path, PathBuf};

use crate::Environment;

/// There is no config where one is looked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// The file that was asked for does not exist.
    #[error("there is no file `{}`", .0.display())]
    Named(PathBuf),
    /// Nothing was asked for, and none of the usual places has one.
    #[error(
        "no config: neither {} exists\nwrite one there, or name it: `isthmus run path/to/gateway.yaml`\n\
         an existing mcp.json becomes one by `isthmus import mcp.json > gateway.yaml`",
        join(.0)
    )]
    Nowhere(Vec<PathBuf>),
}

/// Finds the config: what was asked for, else `./gateway.yaml`, else `isthmus/gateway.yaml` in the user's config folder
/// (`$XDG_CONFIG_HOME`, or `~/.config`).
///
/// # Errors
///
/// [`NotFound`], which says where it looked and what to do.
pub fn locate(argument: Option<&Path>, environment: &Environment) -> Result<PathBuf, NotFound> {
    let exists = |path: &Path| environment.directory().join(path).is_file();
    if let Some(path) = argument {
        // Not `is_file`: a pipe (`isthmus run <(…)`) is fine too.
        return if environment.directory().join(path).exists() {
            Ok(path.to_owned())
        } else {
            Err(NotFound::Named(path.to_owned()))
        };
    }
    let mut places = vec![PathBuf::from("gateway.yaml")];
    let config_folder = environment
        .filled("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(environment.filled("HOME")?).join(".config")));
    places.extend(config_folder.map(|folder| folder.join("isthmus").join("gateway.yaml")));
    match places.iter().position(|place| exists(place)) {
        Some(found) => Ok(places.swap_remove(found)),
        None => Err(NotFound::Nowhere(places)),
    }
}

fn join(places: &[PathBuf]) -> String {
    places
        .iter()
        .map(|place| format!("`{}`", place.display()))
        .collect::<Vec<_>>()
        .join(" nor ")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_argument_wins_then_the_current_folder_then_the_users() {
        let here = tempfile::tempdir().unwrap();
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::new([("HOME", home.path().to_str().unwrap())], here.path());
        let error = locate(None, &environment).unwrap_err().to_string();
        assert!(error.contains("`gateway.yaml` nor"), "{error}");
        assert!(error.contains("isthmus import"), "{error}");

        let users = home.path().join(".config/isthmus/gateway.yaml");
        fs::create_dir_all(users.parent().unwrap()).unwrap();
        fs::write(&users, "").unwrap();
        assert_eq!(locate(None, &environment), Ok(users));

        fs::write(here.path().join("gateway.yaml"), "").unwrap();
        assert_eq!(locate(None, &environment), Ok("gateway.yaml".into()));

        let other = Path::new("other.yaml");
        assert_eq!(
            locate(Some(other), &environment),
            Err(NotFound::Named(other.to_owned()))
        );
        fs::write(here.path().join("other.yaml"), "").unwrap();
        assert_eq!(locate(Some(other), &environment), Ok(other.to_owned()));
    }
}
