"""What clients speak: OpenAI's APIs, Anthropic's, Ollama's. It knows no provider."""
