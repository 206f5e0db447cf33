//! Lists: exact counts, pages, order, and filters on data that tries to trip them.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::builders::Made;
use crate::support::TestApp;

/// A server with these accounts.
async fn app_with(accounts: impl IntoIterator<Item = Value>) -> TestApp {
    made_with(accounts).await.0
}

/// The same, and the accounts' ids.
async fn made_with(accounts: impl IntoIterator<Item = Value>) -> (TestApp, Made) {
    let app = TestApp::start().await;
    let contractor = app.contractor("acme").await;
    let mut ids = Vec::new();
    for attributes in accounts {
        ids.push(app.account(&contractor, attributes).await);
    }
    (app, Made::new(ids))
}

fn named(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({ "name": name })).collect()
}

/// The names that a filter finds, in their order.
async fn found(app: &TestApp, filter: &str) -> Vec<String> {
    let path = format!("/accounts?fields[accounts]=name&{filter}");
    let reply = app.get(&path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.body);
    let list = reply.json();
    let records = list["data"].as_array().unwrap();
    assert_eq!(list["meta"]["total-count"], records.len(), "{filter}");
    let names = records.iter().map(|r| r["attributes"]["name"].as_str().unwrap().to_owned());
    sorted(names)
}

fn sorted<T: Ord>(names: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut names: Vec<T> = names.into_iter().collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn pages_cover_a_filtered_list_once_and_link_to_each_other() {
    let accounts = (0..57).map(|n| json!({"name": format!("n{n:02}"), "vat": n % 3}));
    let app = app_with(accounts).await;
    let root = format!("http://{}/api/rest/admin/accounts", app.address);
    let link = |page: u64| {
        format!(
            "{root}?fields%5Baccounts%5D=vat&filter%5Bvat-eq%5D=1&page%5Bnumber%5D={page}&page%5Bsize%5D=5&sort=-vat%2Cname"
        )
    };
    let mut seen = HashSet::new();
    for page in 1..=6 {
        let query = format!(
            "sort=-vat,name&page[size]=5&page[number]={page}&filter[vat-eq]=1&fields[accounts]=vat&foo=1"
        );
        let list = app.get(&format!("/accounts?{query}")).await.json();
        assert_eq!(list["meta"], json!({"total-count": 19}));
        for record in list["data"].as_array().unwrap() {
            assert_eq!(record["attributes"], json!({"vat": "1.0"}));
            assert!(seen.insert(record["id"].to_string()));
        }
        let mut links = json!({"first": link(1)});
        if page > 1 {
            links["prev"] = json!(link(page - 1));
        }
        if page < 4 {
            links["next"] = json!(link(page + 1));
        }
        links["last"] = json!(link(4));
        assert_eq!(list["links"].to_string(), links.to_string(), "page {page}");
    }
    assert_eq!(seen.len(), 19);
    assert_eq!(app.total("/accounts").await, 57);
    let all = app.get("/accounts").await.json();
    assert_eq!(all["data"].as_array().unwrap().len(), 50);
    let next = all["links"]["next"].as_str().unwrap().split_once("/api/rest/admin").unwrap().1;
    assert_eq!(app.ids(next).await.len(), 7, "links lead where they say");
}

#[tokio::test]
async fn an_empty_list_has_one_page() {
    let app = TestApp::start().await;
    let root = format!("http://{}/api/rest/admin/accounts", app.address);
    let only = format!("{root}?page%5Bnumber%5D=1&page%5Bsize%5D=50");
    let list = app.get("/accounts").await;
    let expected =
        json!({"data": [], "meta": {"total-count": 0}, "links": {"first": only, "last": only}});
    assert_eq!(list.body, expected.to_string());
}

#[tokio::test]
async fn link_queries_are_written_in_one_way() {
    let app = app_with(named(&["a"])).await;
    let root = format!("http://{}/api/rest/admin/accounts", app.address);
    let page = "page%5Bnumber%5D=1&page%5Bsize%5D=50";
    for (query, written) in [
        ("page=1", page.to_owned()),
        ("sort=&include=&foo=1", format!("include=&{page}&sort=")),
        ("filter[name]=a%20b+c~*%27%D0%AE", format!("filter%5Bname%5D=a+b+c~%2A%27%D0%AE&{page}")),
        (
            "filter[id][]=2&filter[id][]=1",
            format!("filter%5Bid%5D%5B%5D=2&filter%5Bid%5D%5B%5D=1&{page}"),
        ),
        (
            "filter[vat-eq]=0&filter[name]=a",
            format!("filter%5Bname%5D=a&filter%5Bvat-eq%5D=0&{page}"),
        ),
        ("page[size]=50abc&page[foo]=1", page.to_owned()),
    ] {
        let list = app.get(&format!("/accounts?{query}")).await.json();
        assert_eq!(list["links"]["first"], format!("{root}?{written}"), "{query}");
        let with_token = format!("/accounts?token={}&{query}", app.token);
        assert_eq!(app.get(&with_token).await.json(), list, "the token stays out of links");
    }
}

#[tokio::test]
async fn page_parameters_are_read_leniently_and_bounded() {
    let (app, made) = made_with(named(&["a", "b", "c"])).await;
    let order = made.by_id();
    for (query, found) in [
        ("page[size]=2", &order[..2]),
        ("page[size]=2&page[number]=2abc", &order[2..]),
        ("page[size]=1.9&page[number]=%202", &order[1..2]),
        ("page=1", &order[..]),
        ("page[number]=9223372036854775807", &[]),
        ("page[size]=1000", &order[..]),
    ] {
        assert_eq!(made.on(&app, &format!("/accounts?{query}")).await, found, "{query}");
    }
    for (query, error) in [
        ("page[size]=0", "118 0 is not a valid value for size page parameter."),
        ("page[size]=-1&page[number]=0", "118 -1 is not a valid value for size page parameter."),
        ("page[size]=1001", "118 size exceeds maximum page size of 1000."),
        ("page[number]=abc", "118 0 is not a valid value for number page parameter."),
        ("page[number]=", "118 0 is not a valid value for number page parameter."),
        ("page=", "118 0 is not a valid value for number page parameter."),
        (
            "page[number]=99999999999999999999",
            "118 99999999999999999999 is not a valid value for number page parameter.",
        ),
        ("page[]=1", "117 Invalid Page Object."),
        ("sort[]=name", "114  is not a valid sort criteria for accounts"),
        ("sort=name,,vat", "114  is not a valid sort criteria for accounts"),
        ("include[]=contractor", "112  is not a valid relationship of accounts"),
        ("filter=x", "120 x is not a valid syntax for filtering."),
        ("fields=name", "119 Fields must specify a type."),
        ("fields[accounts]=", "104 nil is not a valid field for accounts."),
        ("sort=name,%20vat", "114  vat is not a valid sort criteria for accounts"),
    ] {
        let reply = app.get(&format!("/accounts?{query}")).await;
        assert_eq!((reply.status, reply.errors()), (400, vec![error.to_owned()]), "{query}");
    }
}

#[tokio::test]
async fn a_list_without_cursors_has_numbered_pages_whatever_else_is_asked() {
    let app = app_with(named(&["a", "b"])).await;
    let root = format!("http://{}/api/rest/admin/accounts", app.address);
    let query = "page[after]=junk&page[before]=&page[size]=1&as-of=2026-01-02&fields[accounts]=id";
    let list = app.get(&format!("/accounts?{query}")).await.json();
    let page = |number: u64| {
        let page = format!("page%5Bnumber%5D={number}&page%5Bsize%5D=1");
        json!(format!("{root}?fields%5Baccounts%5D=id&{page}"))
    };
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    assert_eq!(list["links"], json!({"first": page(1), "next": page(2), "last": page(2)}));
    for (path, error) in [
        (
            "/accounts?sort=contractor-id",
            "114 contractor_id is not a valid sort criteria for accounts",
        ),
        ("/accounts?filter[contractor-id-eq]=1", "102 contractor_id_eq is not allowed."),
        ("/accounts?filter[id-eq]=1", "102 id_eq is not allowed."),
    ] {
        let reply = app.get(path).await;
        assert_eq!((reply.status, reply.errors()), (400, vec![error.to_owned()]), "{path}");
    }
}

#[tokio::test]
async fn errors_of_a_query_combine_as_the_contract_says() {
    let app = app_with(named(&["a"])).await;
    let (include, filter, page, sort) = (
        "112 foo is not a valid relationship of accounts",
        "102 qux is not allowed.",
        "118 0 is not a valid value for number page parameter.",
        "114 bar is not a valid sort criteria for accounts",
    );
    for (query, errors) in [
        ("include=foo&filter[qux]=1&filter[zot]=1&page[number]=0", vec![include, filter, page]),
        ("include=foo&filter[qux]=1&page[number]=0&sort=bar", vec![sort]),
        ("filter[vat_eq]=abc&filter[qux]=1", vec![filter]),
        ("filter[vat_eq]=abc&include=foo", vec![include]),
        (
            "filter[vat_eq]=abc&filter[name_eq]=a,b",
            vec!["107 abc is not a valid value for vat_eq."],
        ),
        (
            "fields[accounts]=baz&sort=bar&include=foo",
            vec!["104 baz is not a valid field for accounts."],
        ),
    ] {
        assert_eq!(app.get(&format!("/accounts?{query}")).await.errors(), errors, "{query}");
    }
}

#[tokio::test]
async fn rows_without_a_value_come_last_upwards_first_downwards_and_match_no_operator() {
    let (app, made) = made_with([
        json!({"name": "a", "external-id": 5}),
        json!({"name": "b"}),
        json!({"name": "c", "external-id": -5}),
        json!({"name": "d"}),
    ])
    .await;
    let without = made.ordered([2, 4]);
    let (low, high) = (without[0], without[1]);
    assert_eq!(made.on(&app, "/accounts?sort=external-id").await, [3, 1, low, high]);
    assert_eq!(made.on(&app, "/accounts?sort=-external-id").await, [high, low, 1, 3]);
    for (filter, names) in [
        ("external_id_not_eq]=5", vec!["c"]),
        ("external_id_not_in]=5", vec!["c"]),
        ("external_id_lt]=99999999999999999999", vec!["a", "c"]),
        ("external_id_gt]=-99999999999999999999", vec!["a", "c"]),
        ("external_id_not_in]=99999999999999999999", vec!["a", "c"]),
        ("external_id_eq]=5.9", vec!["a"]),
        ("external_id_in]=", vec!["a", "b", "c", "d"]),
        ("invoice-template.id]=", vec![]),
        ("invoice-template.id]=1,", vec!["a", "b", "c", "d"]),
    ] {
        assert_eq!(found(&app, &format!("filter[{filter}")).await, sorted(names), "{filter}");
    }
}

#[tokio::test]
async fn ties_are_by_id_in_the_direction_of_the_last_field() {
    let accounts = [("a", 1), ("b", 2), ("c", 1), ("d", 2)];
    let (app, made) =
        made_with(accounts.map(|(name, vat)| json!({"name": name, "vat": vat}))).await;
    let (ones, twos) = (made.ordered([1, 3]), made.ordered([2, 4]));
    let (up, down) = ([ones.clone(), twos.clone()].concat(), [twos, ones].concat());
    let reversed = |mut order: Vec<usize>| {
        order.reverse();
        order
    };
    assert_eq!(made.on(&app, "/accounts?sort=vat").await, up);
    assert_eq!(made.on(&app, "/accounts?sort=-vat").await, reversed(up));
    assert_eq!(made.on(&app, "/accounts?sort=-vat,timezone").await, down);
    assert_eq!(made.on(&app, "/accounts?sort=vat,id,-vat").await, down);
    assert_eq!(made.on(&app, "/accounts?sort=-id").await, reversed(made.by_id()));
}

#[tokio::test]
async fn money_sorts_and_compares_by_value() {
    let vats = ["10", "9.5", "0.000000000001", "100", "0"];
    let accounts = vats.iter().enumerate();
    let (app, made) =
        made_with(accounts.map(|(n, vat)| json!({"name": n.to_string(), "vat": vat}))).await;
    assert_eq!(made.on(&app, "/accounts?sort=vat").await, [5, 3, 2, 1, 4]);
    for (filter, found) in [
        ("vat_gt]=9.5", vec![1, 4]),
        ("vat_gteq]=9.50", vec![1, 2, 4]),
        ("vat_lt]=1e1", vec![2, 3, 5]),
        ("vat_eq]=10.000", vec![1]),
        ("vat_eq]=%2B10", vec![1]),
        // Finer than what is stored, and still between its neighbours.
        ("vat_gt]=0.0000000000009", vec![1, 2, 3, 4]),
        ("vat_lt]=0.0000000000011", vec![3, 5]),
        ("vat_gteq]=0.0000000000011", vec![1, 2, 4]),
        ("vat_eq]=0.0000000000011", vec![]),
        ("vat_not_eq]=0.0000000000011", vec![1, 2, 3, 4, 5]),
        ("vat_lt]=1e99", vec![1, 2, 3, 4, 5]),
        ("vat_in]=10,.5,9.5,", vec![1, 2]),
        ("vat_not_in]=10,9.5,100", vec![3, 5]),
    ] {
        let path = format!("/accounts?filter[{filter}");
        assert_eq!(made.on(&app, &path).await, made.ordered(found), "{filter}");
    }
    for (filter, error) in [
        ("vat_in]=1,abc", "107 1,abc is not a valid value for vat_in."),
        ("vat_eq]=", "107  is not a valid value for vat_eq."),
        ("vat_eq]=1,2", "107 1,2 is not a valid value for vat_eq."),
        ("vat_gt]=0x1", "107 0x1 is not a valid value for vat_gt."),
    ] {
        assert_eq!(app.get(&format!("/accounts?filter[{filter}")).await.errors(), [error]);
    }
}

#[tokio::test]
async fn text_is_found_whatever_its_case_in_every_script() {
    let names = ["Ярослав", "ЁЛКА", "Straße", "ΟΔΟΣ Αθηνών", "Åland", "plain"];
    let app = app_with(named(&names)).await;
    for (filter, name) in [
        ("cont]=яро", "Ярослав"),
        ("cont]=ЯРОСЛАВ", "Ярослав"),
        ("start]=ёл", "ЁЛКА"),
        ("end]=лка", "ЁЛКА"),
        ("end]=ßE", "Straße"),
        ("cont]=οδοσ", "ΟΔΟΣ Αθηνών"),
        ("cont]=οδος", "ΟΔΟΣ Αθηνών"),
        ("cont]=δοΣ αθ", "ΟΔΟΣ Αθηνών"),
        ("end]=ΑΘΗΝΏΝ", "ΟΔΟΣ Αθηνών"),
        ("start]=åL", "Åland"),
        ("cont_any]=LAIN,x", "plain"),
        ("eq]=Ярослав", "Ярослав"),
    ] {
        assert_eq!(found(&app, &format!("filter[name_{filter}")).await, [name], "{filter}");
    }
    assert!(found(&app, "filter[name_eq]=ярослав").await.is_empty(), "eq tells case apart");
    assert!(found(&app, "filter[name_in]=ярослав,PLAIN").await.is_empty(), "in does too");
}

#[tokio::test]
async fn wildcards_are_letters_like_any_other() {
    let app = app_with(named(&["100%", "100x", "a_b", "axb", "a\\b", "a*b", "a?b"])).await;
    for (filter, names) in [
        ("cont]=%25", vec!["100%"]),
        ("cont]=_", vec!["a_b"]),
        ("cont]=a_b", vec!["a_b"]),
        ("cont]=\\", vec!["a\\b"]),
        ("cont]=a\\b", vec!["a\\b"]),
        ("start]=a*", vec!["a*b"]),
        ("end]=?b", vec!["a?b"]),
        ("end]=%25", vec!["100%"]),
        ("cont_any]=%25,_", vec!["100%", "a_b"]),
    ] {
        assert_eq!(found(&app, &format!("filter[name_{filter}")).await, sorted(names), "{filter}");
    }
    let nothing = app.get("/accounts?filter[name_cont]=").await;
    assert_eq!(nothing.errors(), ["107  is not a valid value for name_cont."]);
}

#[tokio::test]
async fn values_are_one_line_of_csv() {
    let (app, made) = made_with(named(&["a,b", "a", "b", "say \"hi\"", " a "])).await;
    let both = format!("id]={},{}", made.id(2), made.id(5));
    let with_letters = format!("id]={}abc", made.id(2));
    for (filter, names) in [
        ("name]=a,b", vec!["a", "b"]),
        ("name]=%22a,b%22", vec!["a,b"]),
        ("name]=%22say%20%22%22hi%22%22%22,a", vec!["a", "say \"hi\""]),
        ("name]=say%20%22hi%22", vec!["say \"hi\""]),
        ("name]=%20a%20", vec![" a "]),
        ("name_eq]=%20a%20", vec!["a"]),
        ("name_in]=%20a%20,b", vec!["b", " a "]),
        ("name]=a%0Ab", vec!["a"]),
        ("name]=", vec![]),
        ("name]=%20", vec![]),
        ("name_in]=", vec!["a,b", "a", "b", "say \"hi\"", " a "]),
        ("name][]=a,b&filter[name][]=b", vec!["a,b", "b"]),
        ("name_in][]=a", vec![]),
        ("name-eq]=a&filter[name_eq]=b", vec!["b"]),
        ("nameEq]=b", vec!["b"]),
        (&both[..], vec!["a", " a "]),
        (&with_letters, vec!["a"]),
        ("id]=abc", vec![]),
        ("contractor.id]=1", vec!["a,b", "a", "b", "say \"hi\"", " a "]),
        ("contractor.id]=", vec![]),
    ] {
        assert_eq!(found(&app, &format!("filter[{filter}")).await, sorted(names), "{filter}");
    }
}

#[tokio::test]
async fn included_records_come_once_and_in_the_order_of_first_meeting() {
    let app = TestApp::start().await;
    let server = json!({"name": "s", "host": "h", "from-address": "a@example.com"});
    app.create("smtp-connections", server, json!({})).await;
    let (first, second) = (app.contractor("first").await, app.contractor("second").await);
    let link = crate::support::linkage("smtp-connections", "1");
    let path = format!("/contractors/{second}/relationships/smtp-connection");
    assert_eq!(app.patch(&path, link).await.status, 204);
    app.create("invoice-templates", json!({"name": "t"}), json!({})).await;
    let mut ids = Vec::new();
    for (name, contractor) in [("a", &second), ("b", &first), ("c", &second)] {
        ids.push(app.account(contractor, json!({ "name": name })).await);
    }
    let link = crate::support::linkage("invoice-templates", "1");
    assert_eq!(
        app.patch(&format!("/accounts/{}/relationships/invoice-template", ids[0]), link)
            .await
            .status,
        204
    );
    let query =
        "include=invoice-template,contractor.smtp-connection&fields[accounts]=name&sort=name";
    let list = app.get(&format!("/accounts?{query}")).await.json();
    let included: Vec<String> = list["included"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| format!("{} {}", r["type"].as_str().unwrap(), r["id"].as_str().unwrap()))
        .collect();
    assert_eq!(
        included,
        [
            format!("contractors {second}"),
            format!("contractors {first}"),
            "smtp-connections 1".to_owned(),
            "invoice-templates 1".to_owned(),
        ]
    );
    assert_eq!(list["meta"]["total-count"], 3);
    let none = app.get("/accounts?include=&page[size]=1").await.json();
    assert_eq!(none.get("included"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counts_are_exact_while_others_write() {
    let app = Arc::new(app_with(named(&["kept"])).await);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let app = Arc::clone(&app);
        writers.spawn(async move {
            for round in 0..25 {
                let name = format!("w{writer}-{round}");
                let id = app.account("1", json!({ "name": name })).await;
                if round % 2 == 0 {
                    assert_eq!(app.delete(&format!("/accounts/{id}")).await.status, 204);
                }
            }
        });
    }
    let mut reads = 0;
    while !writers.is_empty() {
        for path in ["/accounts?page[size]=1000", "/accounts?page[size]=1000&filter[name_cont]=w"] {
            let list = app.get(path).await.json();
            let rows = list["data"].as_array().unwrap().len();
            assert_eq!(list["meta"]["total-count"], rows, "one snapshot: {path}");
            reads += 1;
        }
        while let Some(finished) = writers.try_join_next() {
            finished.unwrap();
        }
    }
    assert!(reads > 2);
    assert_eq!(app.total("/accounts").await, 1 + 4 * 12);
    assert_eq!(app.stored::<i64>("SELECT count(*) FROM accounts"), 49);
    assert_eq!(app.stored::<i64>("SELECT sum(total) FROM totals WHERE kind = 'accounts'"), 49);
}
