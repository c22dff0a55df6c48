/* Swagger UI, from its installed package, on the service's own description. */
SwaggerUIBundle({ url: "openapi.json", dom_id: "#docs", supportedSubmitMethods: ["get", "post"] });
