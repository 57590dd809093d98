"""The page of the Space: it computes metrics from ranks."""

if __name__ == "__main__":
    import json

    import evaluate
    import gradio

    metric = evaluate.load("./pair_retrieval.py")

    def compute(ranks: str, ids: str, pool_size: float) -> dict:
        """Returns the metrics of one direction."""
        return metric.compute(predictions=json.loads(ranks), references=json.loads(ids), pool_size=int(pool_size))

    inputs = [
        gradio.Textbox("[[1], [3, 6]]", label="ranks of the right answers, a list for each query"),
        gradio.Textbox('["jaws", "alien"]', label="the queries' ids"),
        gradio.Number(20, label="pool size"),
    ]
    gradio.Interface(compute, inputs, gradio.JSON(), title="Pair retrieval", description=metric.description).launch()
