//! Records that come from elsewhere keep their ids.

use jsonapi::{Api, Id, Include, Record, Resource, Value, text};
use store::{Store, StoreError};

static TEMPLATES: Resource = Resource {
    kind: "invoice-templates",
    attributes: &[text("name", ""), text("filename", "")],
    ..Resource::PLAIN
};

static API: Api = Api { prefix: "/test", resources: &[&TEMPLATES] };

fn values(name: &str) -> Vec<Value> {
    vec![Value::text(name), Value::Null]
}

async fn restore(store: &Store, id: i64, name: &str) -> Result<(), StoreError> {
    let record = Record { id: Id::Int(id), values: values(name), links: Vec::new() };
    store.write(async move |tx| tx.restore(&TEMPLATES, &record).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_record_keeps_its_id_and_new_ones_get_ids_above() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("test.db").display());
    let store = Store::open(&url, API).await.unwrap();
    for (id, name) in [(40, "first"), (7, "second")] {
        restore(&store, id, name).await.unwrap();
        let shown = store.show(&TEMPLATES, id, &Include::default()).await.unwrap();
        let (record, _) = shown.unwrap();
        assert_eq!((record.key(), record.values), (id, values(name)));
    }
    for (id, name) in [(7, "third"), (8, "first")] {
        let refused = restore(&store, id, name).await;
        assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    }
    let added: Result<Record, StoreError> =
        store.write(async move |tx| tx.insert(&TEMPLATES, values("new"), Vec::new()).await).await;
    assert_eq!(added.unwrap().key(), 41);
}
