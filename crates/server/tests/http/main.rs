//! The server as its clients see it: real requests, real database.

mod support;

use support::TestApp;

#[tokio::test]
async fn it_answers() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/accounts").await.status, 200);
}
