//! Every attribute of accounts: which values are taken, which are refused, and with what words
//! (contract, protocol 4.5 with D2 to D4).

use std::collections::HashSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::builders::app_with_contractor;
use crate::support::{Reply, TestApp};

/// Sends an attribute as this very JSON text in a create.
async fn send_raw(app: &TestApp, contractor: &str, name: &str, json: &str) -> Reply {
    let members = match name {
        "name" => format!(r#""name":{json}"#),
        // A floor below everything, so that only the attribute itself can be at fault.
        "min-balance" => format!(r#""name":"{}","min-balance":{json}"#, Uuid::new_v4()),
        _ => format!(r#""name":"{}","min-balance":-1000000000,"{name}":{json}"#, Uuid::new_v4()),
    };
    let body = format!(
        r#"{{"data":{{"type":"accounts","attributes":{{{members}}},"relationships":{{"contractor":{{"data":{{"type":"contractors","id":"{contractor}"}}}}}}}}}}"#
    );
    app.write("POST", "/accounts", body).await
}

/// Asserts that each text is taken, and what it is answered as, now and later.
async fn takes(name: &str, cases: &[(&str, Value)]) {
    let (app, contractor) = app_with_contractor().await;
    for (sent, stored) in cases {
        let reply = send_raw(&app, &contractor, name, sent).await;
        assert_eq!(reply.status, 201, "{name}: {sent}: {}", reply.body);
        assert_eq!(reply.attribute(name), *stored, "{name}: {sent}");
        let path = reply.header("location").split_once("/api/rest/admin").unwrap().1.to_owned();
        assert_eq!(app.get(&path).await.body, reply.body, "{name}: {sent}");
    }
}

/// Asserts that each text is refused with exactly these messages on the attribute, by a create
/// and by an update, and that neither changes anything.
async fn refuses(name: &str, cases: &[(&str, &[&str])]) {
    let (app, contractor) = app_with_contractor().await;
    let id =
        app.account(&contractor, json!({"name": "stays", "min-balance": -1_000_000_000})).await;
    let before = app.get(&format!("/accounts/{id}")).await.body;
    for (sent, messages) in cases {
        let errors: Vec<String> =
            messages.iter().map(|message| format!("100 {name} - {message}")).collect();
        let create = send_raw(&app, &contractor, name, sent).await;
        let body = format!(
            r#"{{"data":{{"type":"accounts","id":"{id}","attributes":{{"{name}":{sent}}}}}}}"#
        );
        let update = app.write("PATCH", &format!("/accounts/{id}"), body).await;
        for reply in [create, update] {
            assert_eq!(reply.status, 422, "{name}: {sent}: {}", reply.body);
            assert_eq!(reply.errors(), errors, "{name}: {sent}");
            let pointer = format!("/data/attributes/{name}");
            assert!(reply.pointers().iter().all(|at| *at == pointer), "{name}: {sent}");
        }
    }
    assert_eq!(app.total("/accounts").await, 1);
    assert_eq!(app.get(&format!("/accounts/{id}")).await.body, before);
}

#[tokio::test]
async fn money_is_taken_as_a_number_or_as_its_text() {
    let cases = [
        ("12", "12.0"),
        ("\"12\"", "12.0"),
        ("0.5", "0.5"),
        ("\".5\"", "0.5"),
        ("\"+7.5\"", "7.5"),
        ("\"1e1\"", "10.0"),
        ("1e1", "10.0"),
        ("1E-2", "0.01"),
        ("\" 12 \"", "12.0"),
        ("\"1_0\"", "10.0"),
        ("-0", "0.0"),
        ("\"-0.0\"", "0.0"),
        ("12.50", "12.5"),
        ("0.000000000001", "0.000000000001"),
        ("\"12.123456789012\"", "12.123456789012"),
        ("12.123456789012", "12.123456789012"),
        ("12.1234567890120000", "12.123456789012"),
    ]
    .map(|(sent, stored)| (sent, Value::from(stored)));
    for name in [
        "max-balance",
        "vat",
        "balance-low-threshold",
        "balance-high-threshold",
        "destination-rate-limit",
    ] {
        takes(name, &cases).await;
    }
    takes(
        "min-balance",
        &[
            ("-1.25", json!("-1.25")),
            ("\"-100000000000000000000000000\"", json!("-100000000000000000000000000.0")),
            ("-12345678901234567890.123456789", json!("-12345678901234567890.123456789")),
        ],
    )
    .await;
    takes("max-balance", &[("1e26", json!("100000000000000000000000000.0"))]).await;
}

#[tokio::test]
async fn money_that_is_no_number_is_refused() {
    let not_a_number: &[&str] = &["is not a number"];
    let too_fine: &[&str] = &["has too many decimal places"];
    let cases: Vec<(&str, &[&str])> = [
        "\"abc\"",
        "\"12abc\"",
        "\"1.\"",
        "\"1,5\"",
        "\"0x1A\"",
        "\"NaN\"",
        "\"Infinity\"",
        "\"-\"",
        "\"1e\"",
        "\"1__0\"",
        "true",
        "false",
        "[1]",
        "{\"a\":1}",
        "[]",
        "{}",
    ]
    .map(|sent| (sent, not_a_number))
    .into_iter()
    .chain([
        ("0.0000000000001", too_fine),
        ("0.1234567890123", too_fine),
        ("\"1e-13\"", too_fine),
        ("1e27", &["must be less than or equal to 100000000000000000000000000"]),
        ("\"1e999999999\"", &["must be less than or equal to 100000000000000000000000000"]),
        ("-1e27", &["must be greater than or equal to -100000000000000000000000000"]),
    ])
    .collect();
    for name in [
        "max-balance",
        "vat",
        "balance-low-threshold",
        "balance-high-threshold",
        "destination-rate-limit",
    ] {
        refuses(name, &cases).await;
    }
    let (app, contractor) = app_with_contractor().await;
    for (sent, messages) in cases {
        let reply = send_raw(&app, &contractor, "min-balance", sent).await;
        assert_eq!(reply.errors(), [format!("100 min-balance - {}", messages[0])], "{sent}");
    }
}

#[tokio::test]
async fn required_money_is_not_blank_and_optional_money_may_be() {
    for sent in ["null", "\"\"", "\"  \""] {
        refuses("vat", &[(sent, &["can't be blank", "is not a number"])]).await;
        refuses("max-balance", &[(sent, &["can't be blank", "is not a number"])]).await;
        refuses("min-balance", &[(sent, &["can't be blank"])]).await;
        for name in ["destination-rate-limit", "balance-low-threshold", "balance-high-threshold"] {
            takes(name, &[(sent, Value::Null)]).await;
        }
    }
    let (app, contractor) = app_with_contractor().await;
    let limits = json!({"name": "x", "min-balance": null, "max-balance": null});
    assert_eq!(
        app.open(&contractor, limits).await.errors(),
        ["100 max-balance - can't be blank", "100 min-balance - can't be blank"]
    );
}

#[tokio::test]
async fn the_ceiling_is_not_below_the_floor() {
    let (app, contractor) = app_with_contractor().await;
    for (min, max, error) in [
        (json!(10), json!(0), "100 max-balance - must be greater than or equal to 10.0"),
        (
            json!("0.0000000001"),
            json!(0),
            "100 max-balance - must be greater than or equal to 0.0000000001",
        ),
        (
            json!(-1),
            json!("-1.000000000001"),
            "100 max-balance - must be greater than or equal to -1.0",
        ),
    ] {
        let limits = json!({"name": "x", "min-balance": min, "max-balance": max});
        assert_eq!(app.open(&contractor, limits).await.errors(), [error]);
    }
    let junk = json!({"name": "x", "min-balance": "abc", "max-balance": -1});
    assert_eq!(
        app.open(&contractor, junk).await.errors(),
        [
            "100 min-balance - is not a number",
            "100 max-balance - must be greater than or equal to 0.0",
        ]
    );
    let id =
        app.account(&contractor, json!({"name": "x", "min-balance": 5, "max-balance": 5})).await;
    let merged = app.update("accounts", &id, json!({"min-balance": 6})).await;
    assert_eq!(merged.errors(), ["100 max-balance - must be greater than or equal to 6.0"]);
    assert_eq!(app.update("accounts", &id, json!({"min-balance": 4})).await.status, 200);
}

#[tokio::test]
async fn vat_is_a_percentage() {
    takes("vat", &[("0", json!("0.0")), ("100", json!("100.0")), ("19.99", json!("19.99"))]).await;
    refuses(
        "vat",
        &[
            ("-1", &["must be greater than or equal to 0"]),
            ("\"-0.000000000001\"", &["must be greater than or equal to 0"]),
            ("100.000000000001", &["must be less than or equal to 100"]),
            ("101", &["must be less than or equal to 100"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_rate_limit_is_not_negative() {
    takes("destination-rate-limit", &[("0", json!("0.0")), ("\"0.25\"", json!("0.25"))]).await;
    let message = "must be greater than or equal to 0";
    refuses("destination-rate-limit", &[("-0.1", &[message])]).await;
}

#[tokio::test]
async fn the_low_threshold_is_below_the_high_one_also_after_a_merge() {
    let (app, contractor) = app_with_contractor().await;
    let error = ["100 balance-low-threshold - must be less than balance high threshold"];
    for (low, high) in [(5, 5), (6, 5)] {
        let attributes =
            json!({"name": "x", "balance-low-threshold": low, "balance-high-threshold": high});
        let reply = app.open(&contractor, attributes).await;
        assert_eq!(reply.errors(), error);
        assert_eq!(reply.pointers(), ["/data/attributes/balance-low-threshold"]);
    }
    let thresholds = json!({"name": "x", "balance-low-threshold": 1, "balance-high-threshold": 5});
    let id = app.account(&contractor, thresholds).await;
    let update = async |attributes| app.update("accounts", &id, attributes).await;
    assert_eq!(update(json!({"balance-low-threshold": 5})).await.errors(), error);
    assert_eq!(update(json!({"balance-high-threshold": 1})).await.errors(), error);
    assert_eq!(update(json!({"balance-high-threshold": null})).await.status, 200);
    let raised = update(json!({"balance-low-threshold": 50})).await;
    assert_eq!(raised.attribute("balance-low-threshold"), "50.0");
}

#[tokio::test]
async fn capacities_are_small_whole_numbers_in_digits() {
    for name in ["origination-capacity", "termination-capacity", "total-capacity"] {
        takes(
            name,
            &[
                ("1", json!(1)),
                ("32767", json!(32767)),
                ("\"5\"", json!(5)),
                ("\"+5\"", json!(5)),
                ("null", Value::Null),
                ("\"\"", Value::Null),
            ],
        )
        .await;
        refuses(
            name,
            &[
                ("0", &["must be greater than 0"]),
                ("-1", &["must be greater than 0"]),
                ("\"-7\"", &["must be greater than 0"]),
                ("32768", &["must be less than or equal to 32767"]),
                ("99999999999999999999", &["must be less than or equal to 32767"]),
                ("1.5", &["must be an integer"]),
                ("5.0", &["must be an integer"]),
                ("\"5.0\"", &["must be an integer"]),
                ("\"1e2\"", &["must be an integer"]),
                ("1e2", &["must be an integer"]),
                ("\" 5 \"", &["must be an integer"]),
                ("\"1_0\"", &["must be an integer"]),
                ("\"abc\"", &["is not a number"]),
                ("true", &["is not a number"]),
                ("false", &["is not a number"]),
                ("[1]", &["is not a number"]),
                ("{}", &["is not a number"]),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn a_longest_call_is_a_number_of_seconds() {
    takes(
        "max-call-duration",
        &[
            ("1", json!(1)),
            ("\"60\"", json!(60)),
            ("\"1e2\"", json!(100)),
            ("5.0", json!(5)),
            ("2147483647", json!(2_147_483_647)),
            ("null", Value::Null),
            ("\"\"", Value::Null),
        ],
    )
    .await;
    refuses(
        "max-call-duration",
        &[
            ("0", &["must be greater than 0"]),
            ("-1", &["must be greater than 0"]),
            ("2147483648", &["must be less than or equal to 2147483647"]),
            ("1.5", &["must be an integer"]),
            ("\"abc\"", &["is not a number"]),
            ("true", &["is not a number"]),
            ("[]", &["is not a number"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_external_id_is_any_64_bit_integer_and_unique() {
    takes(
        "external-id",
        &[
            ("9223372036854775807", json!(i64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("9007199254740993", json!(9_007_199_254_740_993_i64)),
            ("\"12\"", json!(12)),
            ("0", json!(0)),
            ("null", Value::Null),
            ("null", Value::Null),
            ("\"\"", Value::Null),
        ],
    )
    .await;
    refuses(
        "external-id",
        &[
            ("9223372036854775808", &["must be less than or equal to 9223372036854775807"]),
            ("-9223372036854775809", &["must be greater than or equal to -9223372036854775808"]),
            ("1.9", &["must be an integer"]),
            ("\"abc\"", &["is not a number"]),
            ("\"12abc\"", &["is not a number"]),
            ("true", &["is not a number"]),
            ("[1]", &["is not a number"]),
        ],
    )
    .await;
    let (app, contractor) = app_with_contractor().await;
    app.account(&contractor, json!({"name": "a", "external-id": 7})).await;
    let other = app.account(&contractor, json!({"name": "b"})).await;
    let taken = ["100 external-id - has already been taken"];
    let create = app.open(&contractor, json!({"name": "c", "external-id": "7"})).await;
    assert_eq!(create.errors(), taken);
    let update = app.update("accounts", &other, json!({"external-id": 7})).await;
    assert_eq!((update.status, update.errors()), (422, taken.map(str::to_owned).to_vec()));
}

#[tokio::test]
async fn an_invoice_period_is_one_of_seven() {
    for id in 1..=7 {
        takes("invoice-period-id", &[(&id.to_string(), json!(id))]).await;
    }
    takes("invoice-period-id", &[("null", Value::Null), ("\"\"", Value::Null)]).await;
    takes("invoice-period-id", &[("\"4\"", json!(4))]).await;
    let not_listed: &[&str] = &["is not included in the list"];
    let junk =
        ["0", "8", "-1", "99", "1.5", "\"abc\"", "true", "[1]", "{}", "99999999999999999999"];
    refuses("invoice-period-id", &junk.map(|sent| (sent, not_listed))).await;
}

#[tokio::test]
async fn recipients_are_lists_of_ids() {
    for name in ["send-invoices-to", "send-balance-notifications-to"] {
        takes(
            name,
            &[
                ("[1,2]", json!([1, 2])),
                ("[2,1,2]", json!([2, 1, 2])),
                ("[\"3\",4]", json!([3, 4])),
                ("5", json!([5])),
                ("\"5\"", json!([5])),
                ("[1,null,\"\"]", json!([1])),
                ("[999999]", json!([999_999])),
                ("[-9223372036854775808]", json!([i64::MIN])),
                ("[]", Value::Null),
                ("[null,\"\"]", Value::Null),
                ("null", Value::Null),
                ("\"\"", Value::Null),
            ],
        )
        .await;
        let invalid: &[&str] = &["is invalid"];
        let junk = [
            "\"abc\"",
            "[\"1x\"]",
            "[1.5]",
            "[true]",
            "[[1]]",
            "{\"a\":1}",
            "[99999999999999999999]",
            "false",
        ];
        refuses(name, &junk.map(|sent| (sent, invalid))).await;
    }
}

#[tokio::test]
async fn a_name_is_the_text_of_what_was_sent() {
    let long = "😀".repeat(600);
    takes(
        "name",
        &[
            ("\"a\"", json!("a")),
            ("\" padded \"", json!(" padded ")),
            ("12", json!("12")),
            ("1.5", json!("1.5")),
            ("true", json!("t")),
            ("false", json!("f")),
            ("[\"a\"]", json!("[\"a\"]")),
            ("\"Ю \\u00e9 \\ud83d\\ude00 <&>'\\\\/\"", json!("Ю é 😀 <&>'\\/")),
            (&format!("\"{long}\""), json!(long)),
        ],
    )
    .await;
    let blank: &[&str] = &["can't be blank"];
    let invalid: &[&str] = &["is invalid"];
    refuses(
        "name",
        &[
            ("\"\"", blank),
            ("\"  \\t\"", blank),
            ("\"\\u00a0\\u3000\"", blank),
            ("null", blank),
            ("{\"a\":1}", invalid),
            ("[1]", invalid),
            ("[[\"a\"]]", invalid),
            ("\"a\\u0000b\"", invalid),
            (&format!("\"{long}n\""), &["is too long (maximum is 600 characters)"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_timezone_is_a_listed_name_in_its_own_case() {
    let same = ["UTC", "Europe/Kyiv", "Europe/Kiev", "US/Pacific", "Etc/GMT+5", "EST5EDT"];
    for zone in same {
        takes("timezone", &[(&format!("\"{zone}\""), json!(zone))]).await;
    }
    refuses(
        "timezone",
        &[
            ("null", &["can't be blank", " is not a valid timezone"]),
            ("\"\"", &["can't be blank", " is not a valid timezone"]),
            ("\"utc\"", &["utc is not a valid timezone"]),
            ("\"Europe/kyiv\"", &["Europe/kyiv is not a valid timezone"]),
            ("\"Mars/Phobos\"", &["Mars/Phobos is not a valid timezone"]),
            ("\"localtime\"", &["localtime is not a valid timezone"]),
            ("\"../UTC\"", &["../UTC is not a valid timezone"]),
            ("5", &["5 is not a valid timezone"]),
            ("true", &["t is not a valid timezone"]),
            ("[\"UTC\"]", &["[\"UTC\"] is not a valid timezone"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_uuid_is_given_or_made_and_always_unique() {
    let given = "00000000-0000-1000-8000-00000000abcd";
    takes("uuid", &[("\"00000000-0000-1000-8000-00000000ABCD\"", json!(given))]).await;
    takes("uuid", &[("\"{00000000-0000-1000-8000-00000000abcd}\"", json!(given))]).await;
    let (app, contractor) = app_with_contractor().await;
    let junk = ["\"abc\"", "5", "true", "[1]", "\"00000000-0000-1000-8000-00000000abc\""];
    for sent in junk {
        let reply = send_raw(&app, &contractor, "uuid", sent).await;
        assert_eq!(reply.errors(), ["100 uuid - is invalid"], "{sent}");
    }
    let mut made = HashSet::new();
    for attributes in [json!({}), json!({"uuid": null}), json!({"uuid": ""})] {
        for _ in 0..40 {
            let mut attributes = attributes.clone();
            attributes["name"] = json!(Uuid::new_v4().to_string());
            let uuid = app.open(&contractor, attributes).await.attribute("uuid");
            let uuid = Uuid::parse_str(uuid.as_str().unwrap()).unwrap();
            assert_eq!(uuid.get_version_num(), 1);
            assert!(made.insert(uuid), "{uuid} was made twice");
        }
    }
    let id = app.account(&contractor, json!({"name": "x", "uuid": given})).await;
    let twin = app.open(&contractor, json!({"name": "y", "uuid": given.to_uppercase()})).await;
    assert_eq!(twin.errors(), ["100 uuid - has already been taken"]);
    let blank = app.update("accounts", &id, json!({"uuid": null})).await;
    assert_eq!((blank.status, blank.errors()), (422, vec!["100 uuid - can't be blank".to_owned()]));
}
