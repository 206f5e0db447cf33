//! The `OpenAPI` 3.1 document of an API, derived from its definitions.
//!
//! What others may refer to: `#/components/schemas/<type>` is a resource object as answered,
//! with `.document`, `.collection`, `.create` and `.update` after it the documents around it and
//! with `.identifier` and `.target` its linkages, answered and sent;
//! `#/components/responses/error-<status>` is an error answer; `#/components/parameters/id` is
//! the id in a path. All orders are those of the definitions.

mod parameters;
mod paths;
mod schemas;

use serde_json::{Map, Value as Json, json};

use crate::MEDIA_TYPE;
use crate::definition::{Api, Resource, SelfLink, Verbs};

/// What the definitions do not say.
#[derive(Clone, Debug)]
pub struct Info {
    /// Name of the API.
    pub title: &'static str,
    /// Version of the document.
    pub version: &'static str,
    /// Paths beyond those of the resources: an object as in `paths`, or null. A path that the
    /// definitions have as well is replaced.
    pub extra_paths: Json,
}

/// The document.
#[must_use]
pub fn openapi(api: &Api, info: &Info) -> Json {
    let mut paths = paths::paths(api);
    if let Json::Object(extra) = &info.extra_paths {
        paths.extend(extra.clone());
    }
    let tags = api.resources.iter().filter(|resource| has_paths(resource));
    let tags = tags.map(|resource| json!({"name": resource.kind, "description": resource.meaning}));
    json!({
        "openapi": "3.1.0",
        "info": {"title": info.title, "version": info.version},
        "security": [{"bearer": []}],
        "tags": tags.collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas::schemas(api),
            "parameters": parameters::shared(),
            "responses": paths::failures(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    })
}

/// Whether the resource has paths of its own; the singletons hang below other records, and some
/// are only named by others.
fn has_paths(resource: &Resource) -> bool {
    resource.self_link != SelfLink::Collection && resource.verbs != Verbs::NONE
}

/// A reference to a component.
fn reference(section: &str, name: &str) -> Json {
    json!({"$ref": format!("#/components/{section}/{name}")})
}

fn schema(name: &str) -> Json {
    reference("schemas", name)
}

/// A body of the JSON:API media type.
fn content(schema: &Json) -> Json {
    json!({MEDIA_TYPE: {"schema": schema}})
}

/// An object schema; `required` is left out when it names nothing.
fn object(properties: Map<String, Json>, required: Vec<Json>) -> Json {
    let mut object = Map::new();
    object.insert("type".into(), "object".into());
    if !required.is_empty() {
        object.insert("required".into(), Json::Array(required));
    }
    object.insert("properties".into(), Json::Object(properties));
    Json::Object(object)
}

/// The resources that an answer on `resource` may carry: itself, then what it can include.
fn reachable(api: &Api, resource: &'static Resource) -> Vec<&'static Resource> {
    let mut found = vec![resource];
    let mut at = 0;
    while let Some(&from) = found.get(at) {
        for relationship in from.relationships {
            let target = api.target(relationship);
            if !found.iter().any(|earlier| earlier.kind == target.kind) {
                found.push(target);
            }
        }
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::API;

    fn document() -> Json {
        let extra_paths = json!({"/auth": {"post": {"responses": {}}}});
        openapi(&API, &Info { title: "Test", version: "1", extra_paths })
    }

    fn operations(document: &Json) -> impl Iterator<Item = &Json> {
        let items = document["paths"].as_object().unwrap().values();
        items.flat_map(|item| item.as_object().unwrap().values().filter(|of| of.is_object()))
    }

    fn references<'d>(json: &'d Json, found: &mut Vec<&'d str>) {
        match json {
            Json::Object(members) => {
                found.extend(members.get("$ref").and_then(Json::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Json::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 100);
        for reference in found {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
        }
    }

    #[test]
    fn operations_have_ids_of_their_own() {
        let document = document();
        let mut ids: Vec<&str> = operations(&document)
            .filter_map(|operation| operation["operationId"].as_str())
            .collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }

    #[test]
    fn paths_are_those_of_the_verbs() {
        let document = document();
        let methods = |path: &str| -> Vec<String> {
            let item = document["paths"][path].as_object();
            item.map_or(Vec::new(), |item| item.keys().cloned().collect())
        };
        assert_eq!(methods("/api/test/accounts"), ["get", "post"]);
        assert_eq!(
            methods("/api/test/accounts/{id}"),
            ["get", "patch", "put", "delete", "parameters"]
        );
        assert_eq!(
            methods("/api/test/accounts/{id}/relationships/contractor"),
            ["get", "patch", "put", "delete", "parameters"]
        );
        assert_eq!(methods("/api/test/accounts/{id}/relationships/parent"), ["get", "parameters"]);
        assert_eq!(methods("/api/test/accounts/{id}/parent"), ["get", "parameters"]);
        assert_eq!(methods("/api/test/timezones"), ["get"]);
        assert_eq!(methods("/api/test/balances"), [""; 0]);
        assert_eq!(methods("/api/test/entries"), ["get", "post"]);
        assert!(
            !document["paths"].as_object().unwrap().keys().any(|path| path.contains("/reasons"))
        );
        let tags = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]);
        assert!(!tags.collect::<Vec<_>>().contains(&&json!("reasons")));
        assert_eq!(methods("/api/test/invoice-template"), methods("/api/test/invoice-templates"));
        assert_eq!(methods("/auth"), ["post"]);
    }

    #[test]
    fn bodies_have_only_what_is_taken() {
        let schemas = &document()["components"]["schemas"];
        let create = &schemas["accounts.create"]["properties"]["data"];
        let update = &schemas["accounts.update"]["properties"]["data"];
        let has = |body: &Json, name: &str| {
            !body["properties"]["attributes"]["properties"][name].is_null()
        };
        assert!(has(create, "currency") && !has(update, "currency"));
        assert!(!has(create, "balance") && !has(update, "balance"));
        assert!(!has(create, "search-key"));
        assert_eq!(create["required"], json!(["type", "attributes", "relationships"]));
        assert_eq!(create["properties"]["attributes"]["required"], json!(["name"]));
        assert_eq!(create["properties"]["relationships"]["required"], json!(["contractor"]));
        assert_eq!(update["required"], json!(["type", "id"]));
        assert!(schemas["timezones.create"].is_null());
        assert!(schemas["balances.update"].is_object());
    }

    #[test]
    fn values_say_what_they_may_be() {
        let schemas = &document()["components"]["schemas"];
        let answered = &schemas["accounts"]["properties"]["attributes"]["properties"];
        let members = &schemas["accounts.create"]["properties"]["data"]["properties"];
        let sent = &members["attributes"]["properties"];
        assert_eq!(answered["secret"]["type"], "null");
        assert_eq!(sent["secret"]["writeOnly"], true);
        assert_eq!(answered["balance"]["type"], "string");
        assert_eq!(answered["balance"]["readOnly"], true);
        assert_eq!(answered["vat"]["type"], json!(["string", "null"]));
        assert_eq!(sent["vat"]["type"], json!(["string", "number", "null"]));
        assert_eq!(sent["min-balance"]["default"], "0.0");
        assert_eq!(sent["invoice-period-id"]["enum"], json!([1, 2, 6, null]));
        assert_eq!(sent["total-capacity"]["maximum"], 32_767);
        assert_eq!(answered["state"]["description"], "State.");
        let on_request = "Ours, for those who ask. Answered only where `fields` names it.";
        assert_eq!(answered["rank"]["description"], on_request);
        let members = &schemas["entries.create"]["properties"]["data"]["properties"];
        let sent = &members["attributes"]["properties"];
        assert_eq!(
            (&sent["code"]["maxLength"], &sent["code"]["type"]),
            (&json!(8), &json!("string"))
        );
        assert_eq!(sent["amount"]["type"], json!(["string", "number"]));
        let needed = json!(["sequence", "created-at", "amount", "code"]);
        assert_eq!(members["attributes"]["required"], needed);
        let answered = &schemas["entries"]["properties"]["attributes"]["properties"];
        assert_eq!(answered["code"]["maxLength"], 8);
        assert_eq!(answered["created-at"]["type"], "string");
        assert_eq!(answered["settled-at"]["type"], json!(["string", "null"]));
    }

    #[test]
    fn parameters_are_those_of_the_definition() {
        let document = document();
        let names = |path: &str| -> Vec<String> {
            let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
            parameters.iter().filter_map(|one| one["name"].as_str()).map(str::to_owned).collect()
        };
        let accounts = names("/api/test/accounts");
        for name in [
            "sort",
            "include",
            "fields[accounts]",
            "fields[mailers]",
            "filter[id]",
            "filter[contractor.id]",
            "filter[name]",
            "filter[name_cont_any]",
            "filter[external_id_gteq]",
        ] {
            assert!(accounts.iter().any(|known| known == name), "{name}");
        }
        for name in ["filter[external_id]", "filter[balance_cont]", "filter[secret_eq]"] {
            assert!(!accounts.iter().any(|known| known == name), "{name}");
        }
        assert_eq!(names("/api/test/timezones"), ["sort", "fields[timezones]", "filter[id]"]);
        let list = &document["paths"]["/api/test/accounts"]["get"]["parameters"];
        let named =
            |name: &str| list.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
        let sorts = named("sort")["schema"]["items"]["enum"].as_array().unwrap();
        assert!(sorts.contains(&"-vat".into()) && !sorts.contains(&"send-invoices-to".into()));
        let includes = &named("include")["schema"]["items"]["enum"];
        assert_eq!(
            *includes,
            json!(["contractor", "contractor.mailer", "invoice-template", "parent"])
        );
    }

    #[test]
    fn lists_by_cursor_and_by_key_say_so() {
        let document = document();
        let list = &document["paths"]["/api/test/entries"]["get"]["parameters"];
        let named = |name: &str| list.as_array().unwrap().iter().find(|one| one["name"] == name);
        for name in ["filter[id_gteq]", "filter[id_not_in]", "filter[account_id_eq]"] {
            let schema = &named(name).unwrap()["schema"];
            let items = if schema["type"] == "array" { &schema["items"] } else { schema };
            assert_eq!(*items, json!({"type": "integer", "format": "int64"}), "{name}");
        }
        assert_eq!(named("filter[detail_cont]").unwrap()["schema"], json!({"type": "string"}));
        assert!(named("filter[parent.id]").is_some() && named("filter[reason.id]").is_none());
        assert!(
            named("filter[account_id_gt]").is_none() && named("filter[reason_id_eq]").is_none()
        );
        let sorts = named("sort").unwrap()["schema"]["items"]["enum"].as_array().unwrap();
        assert!(sorts.contains(&"-account-id".into()) && sorts.contains(&"parent-id".into()));
        assert!(!sorts.contains(&"reason-id".into()));
        let walks = |path: &str| {
            let list = document["paths"][path]["get"]["parameters"].as_array().unwrap();
            let pages = ["page-after", "page-before"].map(parameters::parameter);
            pages.iter().filter(|page| list.contains(page)).count()
        };
        assert_eq!((walks("/api/test/entries"), walks("/api/test/accounts")), (2, 0));
    }

    #[test]
    fn every_write_may_be_named() {
        let document = document();
        let key = parameters::parameter("idempotency-key");
        let items = document["paths"].as_object().unwrap().values();
        let operations = items.flat_map(|item| item.as_object().unwrap());
        for (method, operation) in operations.filter(|(_, of)| of["operationId"].is_string()) {
            let takes = operation["parameters"].as_array().is_some_and(|all| all.contains(&key));
            assert_eq!(takes, method != "get", "{operation}");
        }
    }
}
