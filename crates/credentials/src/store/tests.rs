use std::os::unix::fs::PermissionsExt as _;

use isthmus_exchange::Principal;
use tempfile::TempDir;

use super::*;

fn grant(issuer: &str, token: &str) -> Grant {
    let granted = serde_json::json!({
        "access_token": token, "token_type": "Bearer", "expires_in": 300, "refresh_token": "refresh-me",
    });
    let granted = serde_json::from_value(granted).unwrap();
    let client = GrantClient {
        id: "gateway".to_owned(),
        secret: None,
        in_form: false,
        configured: true,
    };
    let resource = "https://crm.example/mcp";
    Grant::new(issuer, resource, None, client, &granted, Vec::new()).unwrap()
}

fn account(backend: &str, holder: &Holder) -> Account {
    Account::new(&BackendName::parse(backend).unwrap(), holder)
}

fn anna() -> Holder {
    Holder::principal(&Principal::authenticated(
        "jwt",
        "https://id.example",
        "anna",
        "",
    ))
}

fn store(folder: &TempDir) -> (GrantStore, Arc<SealKeys>) {
    let keys = Arc::new(SealKeys::generate());
    (GrantStore::new(folder.path(), keys.clone()), keys)
}

async fn tokens(store: &GrantStore, account: &Account) -> Vec<String> {
    let grants = store.grants(account).await.unwrap();
    let tokens = grants.iter().map(|grant| grant.access_token().expose());
    tokens.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_grant_comes_back_to_its_own_account_only() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = store(&folder);
    let own = account("crm", &Holder::Operator);
    assert!(tokens(&store, &own).await.is_empty());
    assert_eq!(
        folder.path().read_dir().unwrap().count(),
        0,
        "looking makes no file"
    );
    store
        .put(&own, &grant("https://a.example", "one"))
        .await
        .unwrap();
    assert_eq!(tokens(&store, &own).await, ["one"]);
    for other in [
        account("crm", &anna()),
        account("crm2", &Holder::Operator),
        account("cr", &Holder::Operator),
    ] {
        assert!(tokens(&store, &other).await.is_empty());
        assert!(!store.remove(&other, None).await.unwrap());
    }
    store
        .put(&own, &grant("https://a.example", "two"))
        .await
        .unwrap();
    store
        .put(&own, &grant("https://b.example", "three"))
        .await
        .unwrap();
    assert_eq!(tokens(&store, &own).await.len(), 2, "one for each server");
    assert!(store.remove(&own, Some("https://a.example")).await.unwrap());
    assert_eq!(tokens(&store, &own).await, ["three"]);
    assert!(store.remove(&own, None).await.unwrap());
    assert!(tokens(&store, &own).await.is_empty());
}

#[tokio::test]
async fn the_file_is_its_owners_and_says_nothing_without_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = store(&folder);
    let whose = account("crm", &anna());
    store
        .put(&whose, &grant("https://id.example", "very-secret-token"))
        .await
        .unwrap();
    let path = folder.path().join(FILE);
    let mode = path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let bytes = std::fs::read(&path).unwrap();
    for text in [
        "very-secret-token",
        "refresh-me",
        "id.example",
        "anna",
        "crm",
    ] {
        let found = bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes());
        assert!(!found, "`{text}` stands in the file");
    }
    let other = GrantStore::new(folder.path(), Arc::new(SealKeys::generate()));
    assert!(tokens(&other, &whose).await.is_empty());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = store.grants(&whose).await.unwrap_err().to_string();
    assert!(error.contains("0640"), "{error}");
}

#[tokio::test]
async fn what_is_moved_to_another_account_does_not_open_there() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = store(&folder);
    let (own, other) = (account("crm", &Holder::Operator), account("crm", &anna()));
    store
        .put(&own, &grant("https://a.example", "one"))
        .await
        .unwrap();
    let path = folder.path().join(FILE);
    let Attempt::Done(entries) = file::range(&path, "").unwrap() else {
        panic!("nobody else has it open");
    };
    let (_, sealed) = &entries[0];
    let key = other.key("https://a.example");
    assert!(matches!(
        file::insert(&path, &key, sealed).unwrap(),
        Attempt::Done(())
    ));
    assert!(tokens(&store, &other).await.is_empty());
    assert_eq!(tokens(&store, &own).await, ["one"]);
}

#[tokio::test]
async fn a_command_and_a_gateway_use_the_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (gateway, keys) = store(&folder);
    let command = GrantStore::new(folder.path(), keys);
    let write = |store: GrantStore, backend: String| async move {
        let own = account(&backend, &Holder::Operator);
        for round in 0..5 {
            let token = format!("{backend}-{round}");
            store
                .put(&own, &grant("https://a.example", &token))
                .await
                .unwrap();
            assert_eq!(tokens(&store, &own).await, [token]);
        }
    };
    let writers = (0..8).map(|number| {
        let store = if number % 2 == 0 { &gateway } else { &command };
        write(store.clone(), format!("b{number}"))
    });
    futures_util::future::join_all(writers).await;
    for number in 0..8 {
        let own = account(&format!("b{number}"), &Holder::Operator);
        assert_eq!(tokens(&command, &own).await, [format!("b{number}-4")]);
    }
}

#[tokio::test]
async fn one_after_the_other_renews_a_grant() {
    let folder = tempfile::tempdir().unwrap();
    let (gateway, keys) = store(&folder);
    let command = GrantStore::new(folder.path(), keys);
    let own = account("crm", &Holder::Operator);
    let turn = gateway.turn(&own).await.unwrap();
    let mut waiting = Box::pin(command.turn(&own));
    let early = tokio::time::timeout(Duration::from_millis(50), waiting.as_mut()).await;
    assert!(early.is_err());
    drop(turn);
    waiting.await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_something_else_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = store(&folder);
    let path = folder.path().join(FILE);
    std::fs::write(
        &path,
        "not a database, and long enough to look at".repeat(200),
    )
    .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let error = store
        .grants(&account("crm", &Holder::Operator))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Broken { .. }), "{error:?}");
}

#[test]
fn a_grant_does_not_print_what_is_secret() {
    let printed = format!("{:?}", grant("https://a.example", "very-secret-token"));
    assert!(printed.contains("a.example"));
    assert!(
        !printed.contains("secret") && !printed.contains("refresh-me"),
        "{printed}"
    );
}
