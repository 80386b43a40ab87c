//! A database of an earlier callbox, brought up to date.

use callbox_model::{Change, NumberId, Subject};
use callbox_store::{NumberFilter, Page, Scope, Sqlite, Store, sqlite};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

static ALL: sqlx::migrate::Migrator = sqlx::migrate!();

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_that_let_anybody_in_go_on_doing_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("callbox.db");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    ALL.run_to(1, &pool).await.unwrap();
    let number = NumberId::from_u128(1);
    sqlx::query(
        "INSERT INTO tenants (id, name, state, created) VALUES ('ten_00000000000000000000000000', 'a', 'active', 1)",
    )
    .execute(&pool)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO numbers (id, tenant, address, created) VALUES (?1, 'ten_00000000000000000000000000', '100', 1)",
    )
    .bind(number.to_string())
    .execute(&pool)
    .await
    .unwrap();
    let (revision,): (i64,) = sqlx::query_as("SELECT revision FROM directory").fetch_one(&pool).await.unwrap();
    pool.close().await;

    let store = Sqlite::open(sqlite::Config::new(&file)).await.unwrap();
    let kept = store.numbers(NumberFilter::all(Scope::Operator), Page::first(9)).await.unwrap();
    assert_eq!((kept.len(), kept[0].id, kept[0].anonymous), (1, number, true));
    assert_eq!(store.directory_revision().await.unwrap(), revision as u64 + 1);
    // And can be closed.
    assert!(!store.change_number(Scope::Operator, number, false, kept[0].created).await.unwrap().anonymous);
    let told = store.history(Scope::Operator, Subject::Number(number), Page::first(9)).await.unwrap();
    assert!(matches!(told[0].event.change, Change::NumberChanged { .. }));
}
